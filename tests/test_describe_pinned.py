"""Tables of what was measured at the pins. Oracles: by hand; the committed pages."""

from typing import Any

from tools import describe_pinned


def test_the_pages_are_what_the_evidence_makes() -> None:
    for page, text in describe_pinned.pages().items():
        assert page.read_text(encoding="utf-8") == text
        assert text.count("| inconclusive") > 5 or text.count("| mmlu |") == 8


def case(shots: int, stock: list[float], ours: list[float]) -> dict[str, Any]:
    each = {"shape": "s", "dtype": "bfloat16", "task": "mmlu", "shots": shots, "questions": 1500}
    each |= {"stock": {"seconds": stock}, "ours": {"seconds": ours}}
    return each | {"floor_seconds": 0.25, "predictions_that_differ": 3}


def test_numbers_of_shots_add_up_within_a_repeat() -> None:
    """Repeats of (10 + 40) / (1 + 1) = 25 and (20 + 40) / (1 + 0.5) = 40 reach the goal."""
    cases = [case(0, [10, 20], [1, 1]), case(5, [40, 40], [1, 0.5])]
    reached = "| s | BF16 | mmlu | 0, 5 | 55.00 | 1.75 | 32.5 (25.0 to 40.0) | 25 | 0.50 |"
    assert describe_pinned.engine(cases).splitlines()[-1] == f"{reached} 6 of 3,000 |"
    missed = describe_pinned.engine([case(0, [24.9, 30], [1, 1])])
    assert "27.4 (24.9 to 30.0) | 25, **missed** |" in missed
