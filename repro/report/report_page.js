// Filters of the claims. The page is whole without this: they stay hidden.
"use strict";
const form = document.getElementById("filters");
const rows = [...document.querySelectorAll("#claims tbody tr")];
const sections = [...document.querySelectorAll("#claims .of-paper")];

function filter() {
  const outcomes = new Set([...form.elements.outcome].filter((box) => box.checked).map((box) => box.value));
  const { tier, section } = form.elements;
  let shown = 0;
  for (const part of sections) {
    const chosen = !section.value || part.dataset.section === section.value;
    let any = false;
    for (const row of part.querySelectorAll("tbody tr")) {
      const kept = chosen && outcomes.has(row.dataset.outcome) && (!tier.value || row.dataset.tier === tier.value);
      row.hidden = !kept;
      any = any || kept;
      shown += kept;
    }
    part.hidden = !any;
  }
  document.getElementById("shown").textContent = `${shown} of ${rows.length} findings shown`;
}

form.hidden = false;
form.addEventListener("change", filter);
form.addEventListener("reset", () => setTimeout(filter));
filter();

// A link to a claim that the filters hide shows it.
addEventListener("hashchange", () => {
  const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (row && row.hidden) {
    form.reset();
    setTimeout(() => row.scrollIntoView());
  }
});

// Paper shows what is unfolded, and only that.
document.getElementById("unfold").addEventListener("click", () => {
  const folded = [...document.querySelectorAll("details")];
  const open = folded.some((each) => !each.open);
  for (const each of folded) each.open = open;
});
