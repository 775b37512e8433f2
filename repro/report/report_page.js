// Search and filters of the claims, kept in the address. The page is whole without this.
"use strict";
const form = document.getElementById("find");
const bar = document.querySelector(".bar");
const cards = [...document.querySelectorAll(".card")];
const groups = [...document.querySelectorAll("details.group")];
const parts = [...document.querySelectorAll(".part")];
const shown = document.getElementById("shown");
const names = [...form.elements].map((each) => each.name).filter(Boolean);
let texts = null;
let unfolded = null;

function wanted() {
  const found = new URLSearchParams();
  for (const name of names) if (form.elements[name].value) found.set(name, form.elements[name].value);
  return found;
}

function matches(card, text, find) {
  for (const [name, value] of find) {
    if (name === "q") {
      const words = value.toLowerCase().match(/"[^"]+"|[^\s"]+/g) || [];
      if (!words.every((word) => text.includes(word.replaceAll('"', "")))) return false;
    } else if (name === "about") {
      if (card.closest(".part").dataset.about !== value) return false;
    } else if (!(card.dataset[name] || "").split(" ").includes(value)) {
      return false;
    }
  }
  // Counts are of printed claims: a search by outcome shows no checks of our own.
  return !(find.get("outcome") && "own" in card.dataset);
}

function apply() {
  const find = wanted();
  const finding = [...find].length > 0;
  texts = texts || cards.map((card) => card.textContent.toLowerCase());
  if (finding && !unfolded) unfolded = groups.filter((each) => each.open);
  document.body.classList.toggle("finding", finding);
  let count = 0;
  cards.forEach((card, place) => {
    card.hidden = finding && !matches(card, texts[place], find);
    count += !card.hidden;
  });
  for (const each of groups) {
    if (finding) each.open = true;
    else if (unfolded) each.open = unfolded.includes(each);
    each.hidden = finding && !each.querySelector(".card:not([hidden])");
  }
  for (const part of parts) part.hidden = finding && !part.querySelector(".card:not([hidden])");
  if (!finding) unfolded = null;
  shown.textContent = finding ? `${count} of ${cards.length} claims` : "";
}

function keep() {
  const find = wanted().toString();
  history.replaceState(null, "", find ? `#?${find}` : location.pathname + location.search);
}

function fill(find) {
  if (["outcome", "basis", "about", "model", "dtype"].some((name) => find.get(name))) document.getElementById("filters").open = true;
  for (const name of names) form.elements[name].value = find.get(name) || "";
}

// The address: a search, a claim, or another place.
function follow() {
  const name = decodeURIComponent(location.hash.slice(1));
  if (name.startsWith("?")) {
    fill(new URLSearchParams(location.hash.slice(2)));
    apply();
    scrollTo(0, 0);
    return;
  }
  const place = name && document.getElementById(name);
  if (!place) {
    if (name) return;
    fill(new URLSearchParams());
    apply();
    return;
  }
  if (document.body.classList.contains("finding") && (!place.classList.contains("body") || place.closest("[hidden]"))) {
    fill(new URLSearchParams());
    apply();
  }
  for (let each = place; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
  (place.closest(".card") || place).scrollIntoView();
  if (place.classList.contains("body")) place.closest(".card").querySelector("summary").focus({ preventScroll: true });
}

form.hidden = false;
const measure = () => document.documentElement.style.setProperty("--bar", `${bar.offsetHeight}px`);
form.addEventListener("input", () => { apply(); keep(); });
form.addEventListener("reset", () => setTimeout(() => { apply(); keep(); }));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const first = document.querySelector(".card:not([hidden]) > summary");
  if (document.body.classList.contains("finding") && first) first.focus();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-find]");
  if (!link) return;
  event.preventDefault();
  location.hash = `?${new URLSearchParams(link.dataset.find)}`;
});
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    form.elements.q.focus();
  } else if (event.key === "Escape" && form.contains(event.target)) {
    form.reset();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.matches("summary, [name=q]")) {
    const all = [...document.querySelectorAll(".card:not([hidden]) > summary")].filter((each) => each.offsetParent);
    const next = all.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1);
    if (event.target.name === "q" ? event.key === "ArrowDown" : all.includes(event.target)) {
      event.preventDefault();
      if (all[next]) all[next].focus();
    }
  }
});
addEventListener("hashchange", follow);
addEventListener("resize", measure);
measure();
follow();

// Paper shows tables and the cards of what was decided, unfolded.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll(".card")].filter((each) => !each.open);
  for (const each of folded) each.open = true;
});
addEventListener("afterprint", () => { for (const each of folded) each.open = false; });
