"""Figures as files. Oracle: what the made-up plots hold, and an XML parser."""

from pathlib import Path
from xml.etree import ElementTree as ET

import made_up_report as made
import pytest

from repro.report import figures
from repro.report.numbers import MeasuredPoint, Plot, PrintedLine

POINT = MeasuredPoint("24 GiB", 2.1, 2.0, 2.2)
LONG = "a printed sentence that is far too long for one line beside an axis, and is shown whole"
PLOT = Plot(
    "Figure 9",
    "figure9",
    "Made up",
    {"times": (PrintedLine("C0", LONG, 2.0, 0.5, (POINT,)),)},
    {"tokens a second": {"under 22 GiB": (POINT,), "under 24 GiB": (POINT,)}},
    0,
)


def words(path: Path) -> list[str]:
    return [each.text or "" for each in ET.parse(path).iter() if each.tag.endswith("text")]


def test_a_figure_is_written_twice_the_same_as_svg_and_pdf(tmp_path: Path) -> None:
    written = {}
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        places = figures.write(PLOT, tmp_path / name, "figure9")
        assert [place.name for place in places] == ["figure9.svg", "figure9.pdf"]
        written[name] = [place.read_bytes() for place in places]
    assert written["one"] == written["other"]
    assert written["one"][1].startswith(b"%PDF-")
    assert b"var(--" not in written["one"][0]


def test_labels_are_whole_sentences_and_axes_have_units(tmp_path: Path) -> None:
    found = words(figures.write(PLOT, tmp_path, "figure9")[0])
    said = " ".join(found)
    assert all(word in said for word in LONG.split())
    assert "…" not in said
    assert "C0" not in said
    assert found.count("tokens a second") == 2  # two caps beside each other
    assert {"times", "under 22 GiB", "under 24 GiB"} <= set(found)


@pytest.mark.parametrize("said", ["time, steps", "deviation of the latent state", "latent-once"])
def test_an_envelope_shows_every_way_of_perturbing_and_its_bound(tmp_path: Path, said: str) -> None:
    found = words(figures.write(made.envelope(), tmp_path, "e")[0])
    assert said in found
    assert any("1 is the bound" in each for each in found)
    assert "control, latent-once" in found
