"""The page of `repro report` in a real browser: `make test-browser`, outside the normal suite.

Oracles: Chromium's console, layout and accessibility tree, and axe-core's rules. `$AXE` names
axe.min.js, `$SCREENSHOTS` the folder for pictures, to be looked at. Chromium is the one on the
path (as root without its sandbox), else the one that playwright brings.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import made_up_report as made
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from repro import paths
from repro.cli.main import main
from repro.report import page

WIDTHS = (390, 768, 1440)
SCHEMES = ("light", "dark")
PARTS = (
    *("answer", "abstract", "contradicted", "overview", "by-paper", "in-table-1", "in-theorem-1"),
    *("in-figure-2", "next", "evidence", "flips", "glossary"),
)
PAGES = ("evidence", "made-up", "nothing")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The committed evidence, everything made up and hostile, and a page of no run."""
    root = tmp_path_factory.mktemp("pages")
    main(["report", str(paths.ROOT / "evidence"), "--out", str(root / "evidence")])
    for name in PAGES[1:]:
        (root / name).mkdir()
    (root / "nothing/report.html").write_text(page.render(made.seen()), encoding="utf-8")
    seen = made.everything(findings=300, models=40, name=f"{made.HOSTILE}{made.LONG}")
    (root / "made-up/report.html").write_text(page.render(seen), encoding="utf-8")
    return {name: root / name / "report.html" for name in PAGES}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    sandbox = [] if os.getuid() else ["--no-sandbox"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=sandbox)
        yield started
        started.close()


class Opened:
    """A page, and all that its console said."""

    def __init__(self, browser: Browser, path: Path, **options: Any) -> None:
        # The page allows no script but its own; the checker is one more.
        self.context = browser.new_context(bypass_csp=True, **options)
        self.page: Page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def close(self) -> None:
        """Give the browser's memory back."""
        self.context.close()


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in SCHEMES], ids=str)
def shape(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Width and colours of a window."""
    width, scheme = request.param
    return {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}


@pytest.fixture(params=PAGES)
def opened(
    request: pytest.FixtureRequest,
    pages: dict[str, Path],
    browser: Browser,
    shape: dict[str, Any],
) -> Iterator[Opened]:
    """Each page in each shape of window."""
    found = Opened(browser, pages[request.param], **shape)
    yield found
    found.close()


def test_it_loads_alone_and_without_a_word_on_the_console(opened: Opened) -> None:
    assert opened.said == []
    assert len(opened.asked) == 1


def test_nothing_reaches_beyond_the_window(opened: Opened) -> None:
    wide, window = opened.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window


def test_axe_finds_no_violation(opened: Opened) -> None:
    opened.page.evaluate(
        "[...document.querySelectorAll('details')].slice(0, 200).forEach((one) => one.open = true)"
    )
    opened.page.add_script_tag(path=os.environ["AXE"])
    found = opened.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    shown = [
        (each["id"], each["help"], [node["target"] for node in each["nodes"][:3]])
        for each in found["violations"]
    ]
    assert shown == []
    assert len(found["passes"]) > 20  # it looked


def test_pictures_to_be_looked_at(
    opened: Opened, shape: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    folder = Path(os.environ["SCREENSHOTS"])
    folder.mkdir(parents=True, exist_ok=True)
    name = request.node.callspec.params["opened"]
    start = f"{name}-{shape['viewport']['width']}-{shape['color_scheme']}"
    opened.page.screenshot(path=folder / f"{start}-top.png")
    for part in PARTS:
        place = opened.page.locator(f"#{part}")
        if place.count():
            place.evaluate("each => each.scrollIntoView()")
            opened.page.screenshot(path=folder / f"{start}-{part}.png")


# -----------------------------------------------------------------------------
# Search, filters, links, keyboard, print


@pytest.fixture
def evidence(pages: dict[str, Path], browser: Browser) -> Iterator[Page]:
    """The page of the committed evidence at a desk."""
    found = Opened(browser, pages["evidence"], viewport={"width": 1440, "height": 900})
    yield found.page
    assert found.said == []
    found.close()


def shown(page: Page) -> list[str]:
    """Claims that are shown, by name."""
    return page.locator(".card:visible .id").all_text_contents()


def state(page: Page) -> str:
    """What the address says after its #."""
    return unquote(str(page.evaluate("location.hash")))


def test_the_answer_and_the_abstract_stand_on_the_first_screen(evidence: Page) -> None:
    for name in ("#answer .opening div:last-child", "#abstract .sentences li:nth-child(5)"):
        box = evidence.locator(name).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 900


def test_search_finds_ids_and_sentences_and_the_address_keeps_it(evidence: Page) -> None:
    evidence.locator("#find [name=q]").fill('"32 of 35"')
    assert "T4cnt" in shown(evidence)
    assert len(shown(evidence)) < 5
    assert state(evidence) == '#?q="32+of+35"'
    assert f"{len(shown(evidence))} of " in str(evidence.locator("#shown").text_content())
    evidence.reload()
    assert "T4cnt" in shown(evidence)
    evidence.locator("#find [name=q]").fill("t1.mamba-130m")
    assert shown(evidence) == ["T1.mamba-130m.float16", "T1.mamba-130m.bfloat16"]
    evidence.locator("#find [name=q]").fill("")
    assert state(evidence) == ""
    assert evidence.locator("#answer").is_visible()


@pytest.mark.parametrize(
    ("choice", "data"),
    [
        ({"outcome": "contradicted"}, "data-outcome"),
        ({"basis": "proof"}, "data-basis"),
        ({"model": "mamba-130m"}, "data-model"),
        ({"dtype": "bfloat16", "outcome": "not-run"}, "data-dtype"),
    ],
)
def test_filters_choose(evidence: Page, choice: dict[str, str], data: str) -> None:
    evidence.locator("#filters > summary").click()
    for name, value in choice.items():
        evidence.locator(f"#find [name={name}]").select_option(value)
    cards = evidence.locator(".card:visible").all()
    assert 0 < len(cards) < 300
    value = choice[data.removeprefix("data-")]
    assert all(value in str(card.get_attribute(data)).split() for card in cards)
    assert state(evidence).startswith("#?")
    evidence.locator("#find button[type=reset]").click()
    evidence.wait_for_function("!document.body.classList.contains('finding')")
    assert evidence.locator("#answer").is_visible()


def test_a_part_of_the_paper_can_be_chosen_alone(evidence: Page) -> None:
    evidence.locator("#filters > summary").click()
    evidence.locator("#find [name=about]").select_option("Table 4")
    assert evidence.locator("#by-paper h3:visible").all_text_contents()[0].startswith("Table 4")
    assert evidence.locator("#by-paper h3:visible").count() == 1
    assert {"T4cnt", "T4.sampling", "T4.130m.W.arc-c"} <= set(shown(evidence))


def test_a_count_leads_to_its_claims_and_back(evidence: Page) -> None:
    number = evidence.locator("#overview tr.all a").nth(2)
    count = int(str(number.text_content()))
    number.click()
    evidence.wait_for_function("document.body.classList.contains('finding')")
    assert state(evidence) == "#?outcome=contradicted"
    of_readings = evidence.locator(".card.of-sentence:visible").count()
    assert len(shown(evidence)) == count + of_readings
    evidence.go_back()
    evidence.wait_for_function("!document.body.classList.contains('finding')")


def test_one_click_leads_from_the_answer_to_an_open_card(evidence: Page) -> None:
    evidence.locator("#answer a", has_text="TH1b.proof").click()
    card = evidence.locator("[id='TH1b.proof']")
    card.wait_for(state="visible")
    assert state(evidence) == "#TH1b.proof"
    assert "checked by Coq" in str(card.text_content())


def test_an_address_opens_a_card_that_lies_in_a_folded_group(
    pages: dict[str, Path], browser: Browser
) -> None:
    for scripts in (True, False):  # Chromium unfolds what is addressed
        found = Opened(browser, pages["evidence"], java_script_enabled=scripts)
        found.page.goto(f"{pages['evidence'].as_uri()}#T1.mamba-130m.float16")
        found.page.locator("[id='T1.mamba-130m.float16']").wait_for(state="visible")
        found.close()


def test_a_link_to_a_claim_that_the_search_hides_shows_it(evidence: Page) -> None:
    evidence.locator("#find [name=q]").fill("T4cnt")
    assert not evidence.locator("[id='S7']").is_visible()
    evidence.evaluate("location.hash = '#S7'")
    evidence.locator("[id='S7']").wait_for(state="visible")
    assert evidence.locator("#find [name=q]").input_value() == ""


def test_everything_works_from_the_keyboard(evidence: Page) -> None:
    evidence.keyboard.press("/")
    focused = "document.activeElement.name || document.activeElement.textContent"
    assert evidence.evaluate(focused) == "q"
    evidence.keyboard.type("T4")
    evidence.keyboard.press("ArrowDown")
    first = shown(evidence)[0]
    assert first in evidence.evaluate(focused)
    outline = "getComputedStyle(document.activeElement).outlineWidth"
    assert evidence.evaluate(outline) == "3px"
    evidence.keyboard.press("ArrowDown")
    assert shown(evidence)[1] in evidence.evaluate(focused)
    evidence.keyboard.press("Enter")
    assert evidence.locator(".card[open]:visible .id").all_text_contents() == [shown(evidence)[1]]
    evidence.keyboard.press("/")
    evidence.keyboard.press("Escape")
    evidence.wait_for_function("!document.body.classList.contains('finding')")


def test_the_page_is_whole_and_in_order_without_its_script(
    pages: dict[str, Path], browser: Browser
) -> None:
    found = Opened(browser, pages["evidence"], java_script_enabled=False)
    assert not found.page.locator("#find").is_visible()
    assert found.page.locator(".card").count() >= 470
    assert found.page.locator(".card[hidden], .part[hidden]").count() == 0
    found.page.locator("#in-table-4 .group > summary").first.click()
    assert found.page.locator("#in-table-4 .card:visible").count() > 70
    found.close()


def test_five_hundred_claims_are_small_and_open_soon(
    pages: dict[str, Path], browser: Browser
) -> None:
    assert pages["evidence"].stat().st_size < 1_500_000
    found = Opened(browser, pages["evidence"], viewport={"width": 1440, "height": 900})
    assert found.page.evaluate("document.documentElement.scrollHeight") < 30_000
    found.close()


def test_paper_has_tables_and_the_cards_of_what_was_decided(evidence: Page) -> None:
    evidence.emulate_media(media="print", color_scheme="dark")
    assert not evidence.locator(".bar").is_visible()
    assert evidence.evaluate("getComputedStyle(document.body).color") == "rgb(28, 31, 35)"
    outcomes = {
        str(card.get_attribute("data-outcome")) for card in evidence.locator(".card:visible").all()
    }
    assert outcomes == {"contradicted", "consistent", "proved", "reproduced"}
    assert evidence.locator("[id='T4cnt']").is_visible()  # unfolded
    assert evidence.locator("table.cells:visible").count() == 5
    for heading in evidence.locator(".part:visible").all():  # no heading stands alone
        assert heading.locator(".card:visible, table:visible").count()
    assert len(evidence.pdf()) > 50_000
