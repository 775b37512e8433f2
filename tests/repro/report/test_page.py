"""The page. Oracle: an HTML parser of the standard library, and findings made up here."""

import functools
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import made_up_report as made
import pytest
from bundle_copies import copy_bundle

from repro import paths
from repro.report import collect
from repro.report import page as report_page
from repro.report.report_data import ReportData, Timing
from repro.report.rows import OUTCOMES, SYMBOLS
from repro.schema import validate
from repro.schema.causes import cause
from repro.text import visible
from verify.paper import paper_against_itself

VOID = {"meta", "input", "br", "link", "img", "hr"}
LIMIT = 5_000_000
"""Bytes that a page may have, whatever it shows."""
OF_500 = 1_500_000
"""The same, with 500 claims and figures."""


class Parsed(HTMLParser):
    """Elements of a page in order, and whether each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of a name."""
        return [attributes for name, attributes in self.elements if name == tag]


def parsed(seen: ReportData) -> Parsed:
    """A page, with every element closed."""
    page = Parsed(report_page.render(seen))
    assert page.open == []
    return page


@functools.cache
def whole() -> str:
    """The page of every manifest, with nothing run; it takes some seconds."""
    return report_page.render(bundle())


def bundle() -> ReportData:
    """Every manifest, and nothing run."""
    manifests = validate.load_manifests([])
    return made.seen(manifests, page=tuple(map(paper_against_itself, manifests)))


# -----------------------------------------------------------------------------
# What a reader finds


def test_the_page_has_landmarks_headings_in_order_and_captions() -> None:
    page = parsed(made.everything())
    for tag in ("header", "main", "nav", "footer", "h1"):
        assert len(page.all(tag)) == 1, tag
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    steps = [later - earlier for earlier, later in pairwise(levels)]
    assert levels[0] == 1
    assert max(steps) <= 1
    tables = page.all("table")
    named = [each for each in tables if "aria-labelledby" in each]
    assert len(tables) == len(page.all("caption")) + len(named)
    assert all(each.get("scope") in ("row", "col") for each in page.all("th"))
    assert all(
        each["role"] == "img" and each["aria-label"] for each in page.all("svg") if "role" in each
    )


def test_links_lead_somewhere_and_identifiers_are_unique() -> None:
    page = Parsed(whole())
    ids = Counter(str(each["id"]) for _, each in page.elements if "id" in each)
    assert {name for name, count in ids.items() if count > 1} == set()
    links = {str(each["href"]) for each in page.all("a")}
    inside = {unquote(link[1:]) for link in links if link.startswith("#")}
    assert len(inside) > 300
    assert inside <= ids.keys()
    assert {link for link in links if not link.startswith("#")} == {
        "https://example.org/abs/1",
        "https://example.org/abs/1v2",
        "https://example.org/abs/1v3",
    }


def test_nothing_is_fetched() -> None:
    page = parsed(made.everything())
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "poster"):
            if (tag, name) != ("a", "href"):  # followed by a reader, and by nothing else
                assert str(attributes.get(name) or "#").startswith("#")
    text = report_page.render(made.everything())
    assert "url(http" not in text
    assert "@import" not in text


def test_every_claim_of_every_manifest_is_there() -> None:
    seen = bundle()
    page = Parsed(whole())
    anchors = {str(each["id"]) for _, each in page.elements if "id" in each}
    assert {claim.id for each in seen.manifests for claim in each.claims} <= anchors
    assert "Nothing was run." in page.words


def test_every_outcome_has_its_symbol_beside_its_colour() -> None:
    findings = [made.finding(number, outcome) for number, outcome in enumerate(OUTCOMES)]
    page = parsed(made.seen(runs=(made.run(findings),)))
    badges = {str(each["class"]) for each in page.all("span") if "badge" in str(each.get("class"))}
    assert badges == {f"badge {outcome}" for outcome in OUTCOMES}
    assert set(SYMBOLS.values()) <= {word.strip() for word in page.words}


def test_a_table_shows_each_printed_cell_beside_its_measurement() -> None:
    manifests = {each.id: each for each in validate.load_manifests([])}
    measured = made.finding(
        claim="T1.mamba-130m.float16", outcome="contradicted", measured="0.77 (5 settings: 0 to 1)"
    )
    seen = made.seen([manifests["table1"]], runs=(made.run([measured], manifest="table1"),))
    text = report_page.render(seen)
    table = text[text.index('<table class="cells">') :]
    table = table[: table.index("</table>")]
    printed = [value for value in manifests["table1"].published if value.place.table == "Table 1"]
    assert table.count('<td class="') == len(printed) == 24
    first = table[table.index('<td class="contradicted">') :]
    assert re.search(r"#T1.mamba-130m.float16.>0\.03 .*✗.*0\.77 \(5 settings", first, re.DOTALL)
    assert "not measured" not in table  # said once, of all of it


def test_tick_and_cross_are_outcomes_and_nothing_else() -> None:
    """Table 4 is printed with them: LoRA on W or not."""
    table = whole()[whole().index('id="in-table-4"') : whole().index('id="in-table-5"')]
    headings = re.findall(r'<th scope="row">([^<]*)</th>', table)
    assert headings[:2] == ["Mamba-2 130M (LoRA on W alone)", "Mamba-2 130M (LoRA on all but W)"]
    marked = re.sub(r'<span aria-hidden="true">[✓✗]</span>', "", whole())
    assert "✓" not in marked
    assert "✗" not in marked


def test_what_stood_in_is_told_apart_by_its_own_name() -> None:
    """No number of a twin stands where a measurement of the paper's model would."""
    why = (cause("tier-and-stand-in", tier="smoke", checkpoint="twin-mamba"),)
    manifest = validate.load_manifest(paths.MANIFESTS / "table1.json")
    one = made.finding(0, "inconclusive", claim="T1.mamba-130m.float16", causes=why)
    run = made.run([one], manifest="table1", tier="smoke")
    text = report_page.render(made.seen([manifest], runs=(run,)))
    table = text[text.index('<table class="cells">') : text.index("of stand-ins, which decide")]
    assert "0.25" not in table
    assert '>—<span class="stand-in">of twin-mamba, not of the paper’s: 0.25' in text
    apart = text[text.index("measured of other models than the paper’s") :]
    assert "<td>twin-mamba</td>" in apart[: apart.index("</table>")]


# -----------------------------------------------------------------------------
# Hostile, none, many


def test_hostile_names_are_words_and_no_markup() -> None:
    one = made.finding(
        0,
        statement=made.HOSTILE,
        causes=made.HOSTILE,
        quote=made.HOSTILE,
        published=made.HOSTILE,
        measured=made.HOSTILE,
        margin=made.HOSTILE,
        reading=made.HOSTILE,
        working=(made.HOSTILE,),
        direction=cause("no-record", why=made.HOSTILE),
        place=made.Place(section=made.HOSTILE, table=made.HOSTILE),
    )
    seen = made.seen(
        runs=(made.run([one], made.HOSTILE, title=made.HOSTILE, notes=(made.HOSTILE,)),),
        machines=(made.machine(made.HOSTILE),),
        pairs=(made.pair(made.HOSTILE),),
        envelopes=(made.envelope(made.HOSTILE),),
    )
    page = parsed(seen)
    assert not set(report_page.render(seen)) & set("\x1b\u202e")
    assert len(page.all("script")) == 1  # the page's own
    assert page.all("b") == [{}] * len(page.all("b"))
    assert not [each for _, each in page.elements for name in each if name.startswith("on")]
    assert visible(made.HOSTILE) in page.words
    labels = [each.get("aria-label") for each in page.all("svg")]
    assert any(visible(made.HOSTILE) in str(label) for label in labels)


def test_a_claim_name_that_is_hostile_stays_inside_its_figure() -> None:
    manifests = {each.id: each for each in validate.load_manifests([])}
    bars = made.finding(
        claim="F1c.bars", kind="bars", working=(f"{made.HOSTILE.replace(' ', '')} x: 0.123; floor",)
    )
    seen = made.seen([manifests["figure1"]], runs=(made.run([bars], manifest="figure1"),))
    page = parsed(seen)
    assert len(page.all("script")) == 1
    assert any(word.startswith("<script>alert") for word in page.words)


def test_what_does_not_fit_into_memory_is_counted_and_not_drawn() -> None:
    manifests = [each for each in validate.load_manifests([]) if each.id == "figure2"]
    timings = (Timing("a-small-one", 24.0, (1.0, 2.0)), Timing("a-large-one", 24.0, ()))
    words = " ".join(parsed(made.seen(manifests, timings=timings)).words)
    assert "under 24 GiB; 1 more do not fit" in words
    assert "tokens a second" in words
    assert "a-small-one" in words
    assert "a-large-one" not in words


def test_no_manifest_run_and_no_record_make_a_page() -> None:
    text = " ".join(parsed(made.seen()).words)
    for said in ("Nothing was run.", "No pair of precisions", "Nothing was fine-tuned"):
        assert said in text
    assert "No record says where it was made." in text


def test_thousands_of_findings_and_forty_models_stay_small() -> None:
    text = report_page.render(made.everything(findings=3000, models=40))
    assert text.count('data-outcome="') >= 3000
    assert text.count(">mamba-39</th>") == 2  # flips, and adapters
    assert len(text.encode()) < LIMIT


def test_long_paths_and_names_are_whole() -> None:
    seen = made.everything(models=1, name=made.LONG)
    words = parsed(made.seen(runs=(made.run([], made.LONG),), pairs=seen.pairs)).words
    assert made.LONG in words
    assert f"{made.LONG}-0" in words


def test_the_whole_bundle_stays_under_the_limit() -> None:
    assert whole().count('class="card ') > 450
    assert len(whole().encode()) < OF_500 - 350_000  # what figures and records of evidence take


def test_another_bundle_has_the_same_page_about_its_own_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model card whose one manifest is named after nothing, without a ledger of sentences."""
    other = copy_bundle(tmp_path / "other")
    for path in [*(other / "manifests").iterdir(), other / "catalog/sentences.json"]:
        path.unlink()
    about = {"id": "card/one", "versions": ["v1"], "title": "A card", "authors": ["A. Author"]}
    about |= {"schema_version": 1, "url": "https://example.org/card"}
    (other / "paper.json").write_text(json.dumps(about))
    manifest = json.loads((paths.MANIFESTS / "table1.json").read_text())
    manifest |= {"id": "mmlu", "paper": {"id": "card/one", "version": "v1"}}
    (other / "manifests/mmlu.json").write_text(json.dumps(manifest))
    monkeypatch.setenv("REPRO_BUNDLE", str(other))
    page = Parsed(text := report_page.render(collect.gather([])))
    assert "A card: what holds" in page.words
    assert "<title>A card: what holds</title>" in text
    assert "A. Author" in text
    links = {str(each["href"]) for each in page.all("a")}
    assert {link for link in links if not link.startswith("#")} == {"https://example.org/card"}
    assert "in-table-1" in {each.get("id") for each in page.all("section")}
    assert text.count('class="card ') == len(manifest["claims"])
    assert "repro run manifests/mmlu.json" in text
    for ours in ("2406.00209", "Lyapunov", "Halloran", "table1.json", "The abstract"):
        assert ours not in text


def test_equal_input_gives_equal_bytes() -> None:
    assert report_page.render(made.everything()) == report_page.render(made.everything())


@pytest.mark.parametrize("of", ["figures", "envelopes"])
def test_plots_are_xml_whose_identifiers_no_other_plot_has(of: str) -> None:
    manifests = [each for each in validate.load_manifests([]) if each.id in ("figure1", "figure2")]
    rolled = tuple(replace(made.envelope(), record=letter * 64) for letter in "bc")
    seen = made.seen(manifests, timings=made.everything().timings, envelopes=rolled)
    text = report_page.render(seen)
    plots = re.findall(r'<svg viewBox="[^"]*" role="img".*?</svg>', text, re.DOTALL)
    assert len(plots) == 4
    ids = [found for plot in plots for found in re.findall(r' id="([^"]*)"', plot)]
    assert len(ids) == len(set(ids))
    chosen = plots[:2] if of == "figures" else plots[2:]
    for plot in chosen:
        root = ET.fromstring(plot)
        assert root.find("title") is not None
        assert {each.text for each in root.iter("text")} & {
            "times",
            "percentage points",
            "deviation over bound, no unit",
        }
        assert "font-family" not in plot
        assert "#0" not in re.sub(r'(?:href="|url\()#[\w.-]+', "", plot)  # no colour of its own
