"""docs/architecture.md, held to the tree."""

import re

from repro import paths

TEXT = (paths.ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CORE = re.findall(r"^\d+\. `([^`]+)`: ", TEXT, re.MULTILINE)
PATH = re.findall(r"`([a-z_0-9/]+\.py)`", TEXT.partition("## Where to start")[0])


def lines(name: str) -> int:
    return len((paths.ROOT / name).read_text(encoding="utf-8").splitlines())


def test_the_core_is_an_evening() -> None:
    assert len(CORE) == len(set(CORE)) > 20
    assert sum(map(lines, CORE)) <= 4_500


def test_the_path_of_a_cell_is_in_the_tree_and_short() -> None:
    assert all((paths.ROOT / name).is_file() for name in PATH)
    assert 20 < len(set(PATH)) <= 40


def test_every_room_is_drawn_and_says_what_it_is_for() -> None:
    drawn = TEXT.partition("```\n")[2].partition("```")[0]
    for package in ("repro", "runner", "verify"):
        for room in (each.parent for each in (paths.ROOT / package).glob("*/__init__.py")):
            assert re.search(rf"\b{room.name}\b", drawn), room
            said = (room / "__init__.py").read_text(encoding="utf-8")
            assert said.startswith('"""'), room


def test_what_starts_a_module_stands_behind_all_that_it_needs() -> None:
    starts = 'if __name__ == "__main__":'
    sources = [path.read_text(encoding="utf-8") for path in (paths.ROOT / "repro").rglob("*.py")]
    ends = [source.partition(starts)[2] for source in sources if starts in source]
    assert ends
    assert not [end for end in ends if re.search(r"^(def|class|[A-Z_]+ =)", end, re.MULTILINE)]
