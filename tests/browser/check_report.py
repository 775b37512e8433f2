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

import made_up_report as made
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from repro import paths
from repro.cli.main import main
from repro.report import page
from repro.report.rows import OUTCOMES

WIDTHS = (360, 1440)
SCHEMES = ("light", "dark")
PARTS = (
    *("overview", "claims", "tables", "figures", "stability"),
    *("flips", "adapters", "drift", "open"),
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
    for each in opened.page.locator("details").all()[:60]:
        each.evaluate("each => { each.open = true; }")
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
        opened.page.evaluate(f"document.getElementById('{part}').scrollIntoView()")
        opened.page.screenshot(path=folder / f"{start}-{part}.png")


# -----------------------------------------------------------------------------
# Filters, links, print


@pytest.fixture
def made_up(pages: dict[str, Path], browser: Browser) -> Iterator[Page]:
    """The made-up page at a desk."""
    found = Opened(browser, pages["made-up"], viewport={"width": 1440, "height": 900})
    yield found.page
    assert found.said == []
    found.close()


def visible(page: Page) -> list[tuple[str, str]]:
    """Outcome and tier of every row that is shown."""
    return [
        (str(row.get_attribute("data-outcome")), str(row.get_attribute("data-tier")))
        for row in page.locator("#claims tbody tr:visible").all()
    ]


def test_the_filters_choose_outcome_tier_and_section(made_up: Page) -> None:
    every = visible(made_up)
    assert len(every) > 300
    for name in set(OUTCOMES) - {"contradicted"}:
        made_up.locator(f"#filters input[value={name}]").uncheck()
    assert set(visible(made_up)) == {("contradicted", "full")}
    status = made_up.locator("#shown")
    shown = len(visible(made_up))
    assert status.text_content() == f"{shown} of {len(every)} findings shown"
    made_up.locator("#filters button[type=reset]").click()
    assert visible(made_up) == every
    made_up.locator("#filters select[name=tier]").select_option("no run")
    assert {tier for _, tier in visible(made_up)} == {"no run"}
    made_up.locator("#filters button[type=reset]").click()
    made_up.locator("#filters select[name=section]").select_option("Section 5.1")
    assert made_up.locator("#claims h3:visible").all_text_contents() == ["Section 5.1"]
    assert len(visible(made_up)) == 60


def test_the_filters_work_from_the_keyboard(made_up: Page) -> None:
    made_up.locator("#filters input[value=reproduced]").focus()
    outline = "getComputedStyle(document.activeElement).outlineWidth"
    assert made_up.evaluate(outline) == "3px"
    made_up.keyboard.press("Space")
    assert "reproduced" not in {outcome for outcome, _ in visible(made_up)}


def test_a_link_to_a_hidden_claim_shows_it(made_up: Page) -> None:
    made_up.locator("#filters input[value=reproduced]").uncheck()
    row = made_up.locator("#c-table9\\.C0")
    assert not row.is_visible()
    made_up.evaluate("location.hash = '#c-table9.C0'")
    row.wait_for(state="visible")


def test_the_page_is_whole_without_its_script(pages: dict[str, Path], browser: Browser) -> None:
    found = Opened(browser, pages["evidence"], java_script_enabled=False)
    assert not found.page.locator("#filters").is_visible()
    assert found.page.locator("#claims tbody tr:visible").count() >= 427
    found.close()


def test_paper_shows_what_is_unfolded_in_dark_letters(made_up: Page) -> None:
    made_up.emulate_media(media="print", color_scheme="dark")
    assert not made_up.locator("nav").is_visible()
    assert made_up.evaluate("getComputedStyle(document.body).color") == "rgb(28, 31, 35)"
    assert made_up.locator("#claims details:visible").count() == 0
    short = len(made_up.pdf())
    made_up.locator("#unfold").evaluate("each => each.click()")
    assert made_up.locator("#claims details:visible").count() == 300  # one a finding
    assert len(made_up.pdf()) > short
