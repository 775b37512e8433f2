"""Cards and parts of the paper. Oracle: findings made up here, and the bundle's own names."""

from pathlib import Path
from typing import Any

import made_up_report as made
import pytest

from repro.report import page
from repro.report.report_data import PaperShown, RecordSeen
from repro.report.rows import Row
from repro.report.view.cards import about, scale
from repro.schema import validate
from repro.schema.causes import Estimate, cause
from repro.schema.claim_base import Place
from verify.paper import paper_against_itself


def row(manifest: str, **place: Any) -> Row:
    found = made.finding(0, place=Place(**place))
    return Row("a", manifest, "Section 5", "full", found, (), ())


@pytest.mark.parametrize(
    ("manifest", "place", "expected"),
    [
        ("table4", {"section": "Appendix F, before Table 3"}, "Table 4"),
        ("table4", {"section": "5", "table": "Table 1"}, "Table 1"),
        ("prose", {"section": "3.1, Theorem 1"}, "Theorem 1"),
        ("prose", {"section": "5"}, "Section 5"),
        ("mmlu", {"section": "5"}, "Table 7"),
    ],
)
def test_what_a_claim_is_about(manifest: str, place: dict[str, str], expected: str) -> None:
    assert about(row(manifest, **place), {"table4": "Table 4", "mmlu": "Table 7"}) == expected


def test_everything_about_a_table_stands_under_it() -> None:
    """T4cnt and T4.sampling are printed before Table 4, and are about it."""
    manifests = validate.load_manifests([])
    view = page.view(made.seen(manifests, page=tuple(map(paper_against_itself, manifests))))
    parts = {part.name: part for part in view.parts}
    names = {card.anchor for card in parts["Table 4"].cards}
    assert {"T4cnt", "T4.sampling", "T4.130m.W.arc-c"} <= names
    assert sum(len(part.cards) for part in view.parts) == len(view.cards) > 470
    order = [part.name for part in view.parts]
    wanted = ["Abstract", "Section 1", "Section 3.1", "Theorem 1", "Theorem 3", "Table 1"]
    wanted += ["Figure 1", "Figure 4", "Section 6", "Appendix B", "Table 3", "Table 4"]
    assert [name for name in order if name in wanted] == wanted


def test_a_sentence_stands_before_its_readings() -> None:
    findings = [made.finding(0, reading_of="C2"), made.finding(1), made.finding(2)]
    view = page.view(made.seen(runs=(made.run(findings),)))
    (part,) = (part for part in view.parts if part.name == "Table 9")  # of manifest table9
    made_up = [card.anchor for card in part.cards if card.anchor in {"C0", "C1", "C2"}]
    assert made_up[made_up.index("C2") + 1] == "C0"


def test_one_claim_of_two_runs_is_one_card_with_both() -> None:
    smoke = made.run([made.finding(0, "inconclusive")], tier="smoke")
    view = page.view(made.seen(runs=(smoke, made.run([made.finding(0, "reproduced")]))))
    (card,) = (card for card in view.cards if card.finding.claim == "C0")
    assert (card.finding.outcome, [each.tier for each in card.others]) == ("reproduced", ["smoke"])


def test_models_and_dtypes_of_a_mean_are_those_of_its_cells() -> None:
    manifest = validate.load_manifest(Path("manifests/table1.json"))
    view = page.view(made.seen([manifest]))
    cards = {card.anchor: card for card in view.cards}
    cell = cards["T1.mamba-130m.float16"]
    assert (cell.models, cell.dtypes) == (("mamba-130m",), ("float16",))
    assert cell.command.endswith("--tier full --only model=mamba-130m")
    assert cell.margin_origin.startswith("half the distance from 0.03")
    mean = next(c for c in view.cards if (c.finding.kind, c.finding.basis) == ("mean", "measured"))
    assert len(mean.models) > 1
    assert "--only" not in mean.command


def test_records_stand_by_machine_with_what_they_share_and_what_differs() -> None:
    keys = ("a" * 64, "b" * 64)
    records = tuple(
        RecordSeen(key, Path("r"), "w", (("seed", str(at)), ("batch", "4")), "H200", "commit 1", at)
        for at, key in enumerate(keys)
    )
    finding = made.finding(0, records=keys)
    view = page.view(made.seen(runs=(made.run([finding]),), records=records))
    (card,) = (card for card in view.cards if card.anchor == "C0")
    assert card.settings == (("batch", "4"),)
    assert card.varied == ("seed",)
    (group,) = card.records
    assert (group.hardware, group.revision, group.drifted, group.keys) == (
        "H200",
        "commit 1",
        1,
        keys,
    )
    text = page.render(made.seen(runs=(made.run([finding]),), records=records), Path("page"))
    assert f'href="../r/jobs/{keys[0]}/record.json"' in text


# -----------------------------------------------------------------------------
# The axis


def estimates(*every: tuple[str, float, float | None, float | None]) -> tuple[Estimate, ...]:
    return tuple(Estimate(label=a, value=b, low=c, high=d, unit="points") for a, b, c, d in every)


def test_an_axis_shows_margin_mean_interval_and_null_to_scale() -> None:
    numbers = estimates(("measured", 0.3, 0.25, 0.35), ("null divergence", 0.05, None, None))
    found = scale(made.finding(0, published="0.20", margin="± 0.1", estimates=numbers))
    assert found is not None
    low, high = found.margin
    assert found.published == pytest.approx((low + high) / 2)
    ((mean, start, end),) = found.points
    assert mean == pytest.approx(high, abs=0.02)  # 0.3 is the end of the margin
    assert end - start == pytest.approx((high - low) / 2, abs=0.02)  # 0.1 of 0.2
    assert found.null is not None
    assert 0 < found.null < low < high < end < 100
    assert (found.unit, "coin flips alone 0.05" in found.said) == ("points", True)


@pytest.mark.parametrize(
    "changes",
    [
        {"published": "sentence"},
        {"estimates": ()},
        {"causes": (cause("tier-and-stand-in", tier="smoke", checkpoint="twin"),)},
    ],
)
def test_no_axis_without_two_numbers_of_the_papers_own_models(changes: dict[str, Any]) -> None:
    fields = {"published": "0.2", "estimates": estimates(("measured", 0.3, 0.2, 0.4)), **changes}
    assert scale(made.finding(0, **fields)) is None


# -----------------------------------------------------------------------------
# A bundle that is not this paper


def test_parts_of_two_papers_stand_apart_under_the_name_of_each() -> None:
    ours = validate.load_manifest(Path("manifests/table1.json"))
    other = ours.paper.model_copy(update={"id": "card/one", "version": "v1"})
    theirs = ours.model_copy(update={"id": "theirs", "paper": other})
    view = page.view(made.seen([ours, theirs]))
    names = [part.name for part in view.parts]
    assert [name for name in names if name.endswith("Table 1")] == [
        "arXiv 2406.00209: Table 1",
        "card/one: Table 1",
    ]
    assert list(view.tables) == ["arXiv 2406.00209: Table 1", "card/one: Table 1"]
    assert len({card.anchor for card in view.cards}) == len(view.cards) == 2 * len(ours.claims)


def test_the_page_of_another_paper_names_that_paper_and_no_other() -> None:
    paper = PaperShown("A Card", "A model card", ("A. Author",), "https://example.org/card")
    findings = [made.finding(0, "contradicted", place=Place(section="Intended use"))]
    text = page.render(made.seen(paper=paper, runs=(made.run(findings, manifest="card"),)))
    assert "<title>A model card: what holds</title>" in text
    assert "A. Author" in text
    for other in ("arXiv", "2406.00209", "Lyapunov"):
        assert other not in text


def test_no_code_of_the_report_names_this_paper() -> None:
    for path in Path("repro/report").rglob("*.*"):
        if path.suffix in (".py", ".j2", ".js", ".css"):
            text = path.read_text(encoding="utf-8")
            assert "2406" not in text, path
            assert "Halloran" not in text, path


def test_what_was_measured_and_decides_nothing_is_made_again_by_asking_for_all() -> None:
    manifest = validate.load_manifest(Path("manifests/table1.json"))
    for outcome, asked in (("inconclusive", True), ("reproduced", False)):
        seen = made.finding(0, outcome, claim="T1.mamba-130m.float16")
        view = page.view(made.seen([manifest], runs=(made.run([seen], manifest="table1"),)))
        (card,) = (each for each in view.cards if each.anchor == "T1.mamba-130m.float16")
        assert (" --all" in card.command) == asked
