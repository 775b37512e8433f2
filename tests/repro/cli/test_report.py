"""`repro report`: tables and figures for a paper, prices, and what it refuses.

Oracles: the csv module, and files that are there or not. The page itself is in tests/repro/report.
"""

import csv
import io
from pathlib import Path

import pytest

from repro import paths
from repro.cli.main import main

PROOFS = str(paths.ROOT / "evidence" / "coq")
CPU = str(paths.ROOT / "evidence" / "cpu")


def test_tables_are_printed_or_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["report", PROOFS, "--csv"])
    printed = capsys.readouterr().out
    tables = {row["table"] for row in csv.DictReader(io.StringIO(printed, newline=""))}
    assert tables == {f"Table {number}" for number in range(1, 6)}
    main(["report", PROOFS, "--latex", "--out", str(tmp_path)])
    assert capsys.readouterr().out.strip() == str(tmp_path / "tables.tex")
    text = (tmp_path / "tables.tex").read_text(encoding="utf-8")
    assert text.count(r"\toprule") == 5
    assert "Table 4 of arXiv 2406.00209" in text


def test_figures_are_svg_and_pdf_with_or_without_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["report", CPU, "--figures", str(tmp_path / "figures")])
    places = [Path(line) for line in capsys.readouterr().out.split()]
    assert sorted(places) == sorted((tmp_path / "figures").iterdir())
    assert {place.suffix for place in places} == {".svg", ".pdf"}
    assert any(place.name.startswith("envelope-") for place in places)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("price", ["free", "-1", "nan", "1,50"])
def test_a_price_that_is_none_is_refused(
    price: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REPRO_GPU_HOUR", price)
    assert main(["report", PROOFS, "--out", str(tmp_path / "page")]) == 2
    said = capsys.readouterr().err
    assert f"REPRO_GPU_HOUR: found {price!r}, expected a price such as 3 or 2.50 EUR" in said
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("price", ["2.50", "2.50 EUR"])
def test_a_price_stands_on_the_page(
    price: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPRO_GPU_HOUR", price)
    main(["report", PROOFS, "--out", str(tmp_path)])
    assert "at the price set" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("several", [["--latex", "--csv"], ["--csv", "--letter"]])
def test_one_thing_is_printed_at_a_time(several: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["report", PROOFS, *several])
    assert stopped.value.code == 2
