"""Sentences that can be read in several ways, and what may be said of any manifest.

Oracle: written by hand, and for any manifest what a fair word is (`repro.schema.finding`).
"""

from typing import Any, get_args

import made_up_records as records
import printed_pages
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from repro import paths
from repro.cli.verify import exit_code
from repro.schema import validate
from repro.schema.causes import Cause, cause
from repro.schema.claim_base import Place, Standing
from repro.schema.claims import Claim
from repro.schema.finding import Basis, Finding, Outcome
from repro.schema.manifest import Manifest
from verify.paper import decide_readings, paper_against_itself, with_sentences

PLACE = {"section": "5", "table": "Table 9"}
COMMON = {"statement": "a sentence", "place": PLACE, "depends_on": [], "reading": None}
CLAIMS: TypeAdapter[Any] = TypeAdapter(Claim)
WHY = (cause("repeated", count=1),)
MANIFEST = records.manifest()


def claim(**fields: Any) -> Any:
    return CLAIMS.validate_python({**COMMON, **fields}, strict=False)


SENTENCE = claim(id="it", kind="ambiguous", missing="which mean", readings=["one", "other"])
OPEN_WORDS = cause("open-words", missing="which mean")


def codes(found: Finding) -> list[str]:
    return [each.code for each in found.causes]


def read(name: str, outcome: Outcome, basis: Basis = "page", **fields: Any) -> Finding:
    sides = {"published": "1", "measured": "2", "margin": "exact", "causes": WHY}
    common = {"claim": name, "kind": "count", "statement": "a sentence", "place": Place(**PLACE)}
    return Finding(**{**common, **sides, "basis": basis, "outcome": outcome, **fields})


def sentence(*outcomes: Outcome, said: Any = SENTENCE, **fields: Any) -> Finding:
    """The sentence with readings that came out so."""
    names = said.readings
    pairs = zip(names, outcomes, strict=True)
    return decide_readings(
        MANIFEST, said, {name: read(name, each, **fields) for name, each in pairs}
    )


BOTH_WAYS = cause("fails-by-one-reading", failing="other", others="one")


@pytest.mark.parametrize(
    ("outcomes", "outcome", "why"),
    [
        (
            ("consistent", "consistent"),
            "consistent",
            cause("every-reading", outcome="consistent"),
        ),
        (
            ("contradicted", "contradicted"),
            "contradicted",
            cause("every-reading", outcome="contradicted"),
        ),
        (("consistent", "contradicted"), "inconclusive", BOTH_WAYS),
        (("invalid", "contradicted"), "inconclusive", BOTH_WAYS),
        (("consistent", "inconclusive"), "inconclusive", cause("depends-on-reading")),
        (("consistent", "not-run"), "inconclusive", cause("reading-waits", names="other")),
        (("contradicted", "not-run"), "inconclusive", cause("reading-waits", names="other")),
        (("not-run", "not-run"), "not-run", cause("every-reading", outcome="not-run")),
    ],
)
def test_a_sentence_is_what_all_its_readings_say(
    outcomes: tuple[Outcome, Outcome], outcome: Outcome, why: Cause
) -> None:
    found = sentence(*outcomes, quote="it halves")
    readings = [
        {"claim": n, "outcome": o} for n, o in zip(SENTENCE.readings, outcomes, strict=True)
    ]
    assert found == read(
        "it",
        outcome,
        kind="ambiguous",
        quote="it halves",
        published="sentence",
        measured="2 readings",
        margin="—",
        causes=(why, OPEN_WORDS),
        readings=readings,
    )


def test_one_measured_reading_makes_a_sentence_measured() -> None:
    one, other = read("one", "consistent"), read("other", "reproduced", "measured")
    found = decide_readings(MANIFEST, SENTENCE, {"one": one, "other": other})
    assert found.basis == "measured"


@pytest.mark.parametrize(
    ("outcomes", "outcome"),
    [
        (("reproduced", "consistent"), "consistent"),
        (("proved", "reproduced"), "reproduced"),
        (("reproduced", "proved"), "reproduced"),
        (("proved", "proved"), "proved"),
    ],
)
def test_a_sentence_that_holds_is_called_by_its_weakest_reading(
    outcomes: tuple[Outcome, Outcome], outcome: Outcome
) -> None:
    found = sentence(*outcomes, basis="measured")
    assert (found.outcome, found.causes[0].values) == (outcome, {"outcome": outcome})


def test_a_sentence_without_a_reading_is_never_reproduced() -> None:
    none = claim(id="it", kind="ambiguous", missing="everything", readings=[])
    found = decide_readings(MANIFEST, none, {})
    assert (found.outcome, found.measured, found.basis) == ("inconclusive", "0 readings", "page")
    assert codes(found) == ["no-reading", "open-words"]
    assert found.working == ()


def test_a_sentence_that_no_words_are_quoted_of_is_not_contradicted() -> None:
    found = sentence("contradicted", "contradicted", quote="")
    assert (found.outcome, codes(found)[0]) == ("inconclusive", "not-quoted")
    one, other = (read(name, "contradicted", quote=name) for name in SENTENCE.readings)
    found = decide_readings(MANIFEST, SENTENCE, {"one": one, "other": other})
    assert (found.outcome, found.quote) == ("contradicted", "one; other")


def test_readings_that_fail_under_conditions_make_a_sentence_fail_under_them() -> None:
    def failing(name: str, condition: str) -> Finding:
        why = cause("contradicted-if", condition=condition)
        conditions = (condition,)
        return read(name, "inconclusive", causes=(why, *WHY), conditions=conditions)

    under = {"one": failing("one", "it is new"), "other": failing("other", "it is old")}
    for others in (under, {**under, "other": read("other", "contradicted", quote="it")}):
        found = decide_readings(MANIFEST, SENTENCE, others)
        assert (found.outcome, found.listed_under) == ("inconclusive", "contradicted-if")
    found = decide_readings(MANIFEST, SENTENCE, under)
    assert found.conditions == ("it is new", "it is old")
    assert found.causes[0].values == {"condition": "it is new and it is old"}
    found = decide_readings(MANIFEST, SENTENCE, {**under, "other": read("other", "consistent")})
    assert (found.outcome, found.listed_under) == ("inconclusive", None)


def test_a_sentence_is_listed_where_all_its_readings_are() -> None:
    floor = (cause("at-the-floor"), *WHY)
    found = sentence("inconclusive", "inconclusive", causes=floor)
    assert found.listed_under == "at-the-floor"
    assert found.causes == (
        cause("every-reading", outcome="inconclusive"),
        cause("at-the-floor"),
        OPEN_WORDS,
    )
    assert sentence("inconclusive", "not-run", causes=floor).listed_under is None


# -----------------------------------------------------------------------------
# A printed number with two claims on it, each a reading of one sentence.


def read_twice(*printed: str, **of_the_sentence: Any) -> tuple[Manifest, dict[str, Finding]]:
    """Readings by the mean and by the count, and their sentence; each is 1 by the cells."""
    data = records.manifest_data()
    for each, text in zip(data["published"], ("1", "1", *printed), strict=True):
        each["text"] = text
    cells, both = data["claims"][:2], [each["id"] for each in data["claims"][:2]]
    mean = {"id": "one", "kind": "mean", "published": "mean", "of": both}
    mean["margin"] = {"value": "0", "origin": ""}
    count = {"id": "other", "kind": "count", "published": "count", "of": both, "above": "0.1"}
    sentence = {"id": "it", "kind": "ambiguous", "missing": "", "readings": ["one", "other"]}
    sentence |= {"missing": "which", **of_the_sentence}
    claims = [{**COMMON, **each, "basis": "printed"} for each in (mean, count)]
    manifest = records.manifest(
        published=data["published"], claims=[*cells, *claims, {**COMMON, **sentence}]
    )
    return manifest, {each.claim: each for each in paper_against_itself(manifest).findings}


def test_a_sentence_that_fails_by_every_reading_is_contradicted_once() -> None:
    manifest, found = read_twice("5", "7")
    assert {each.outcome for each in found.values()} == {"contradicted"}
    assert [name for name, each in found.items() if each.counts] == ["it"]
    verdict = paper_against_itself(manifest)
    assert (verdict.count("contradicted"), exit_code([verdict])) == (1, 1)


def test_a_sentence_that_fails_by_one_reading_is_contradicted_nowhere() -> None:
    manifest, found = read_twice("1", "7")
    assert {name: each.outcome for name, each in found.items()} == {
        "one": "consistent",
        "other": "inconclusive",
        "it": "inconclusive",
    }
    for name in ("other", "it"):
        assert found[name].listed_under == "fails-by-one-reading"
        assert found[name].causes[0].values == {"failing": "other", "others": "one"}
    assert [each.outcome for each in found["it"].readings] == ["consistent", "contradicted"]
    verdict = paper_against_itself(manifest)
    assert (verdict.count("inconclusive"), verdict.count("consistent")) == (1, 0)
    assert exit_code([verdict]) == 3


def test_readings_that_hold_are_counted_as_one_sentence() -> None:
    manifest, _ = read_twice("1", "2")
    verdict = paper_against_itself(manifest)
    assert (verdict.count("consistent"), exit_code([verdict])) == (1, 0)


@pytest.mark.parametrize(
    ("given", "listed"),
    [
        ({"standing": "step"}, None),
        ({"standing": "beside"}, None),
        ({"conditions": ["it is installed"]}, "contradicted-if"),
    ],
)
def test_a_reading_says_no_more_than_its_sentence_may(
    given: dict[str, Any], listed: str | None
) -> None:
    manifest, found = read_twice("5", "7", **given)
    for each in found.values():
        assert (each.outcome, each.listed_under) == ("inconclusive", listed)
    verdict = paper_against_itself(manifest)
    assert verdict.count("contradicted") == 0
    assert exit_code([verdict]) == 3


def test_a_reading_fails_alone_where_another_is_not_decided() -> None:
    """On the page alone: the other reading waits for a run."""
    manifest, found = read_twice("5", "7")
    measured = [
        each.model_copy(update={"basis": "measured"}) if each.id == "other" else each
        for each in manifest.claims
    ]
    manifest = manifest.model_copy(update={"claims": tuple(measured)})
    (one,) = paper_against_itself(manifest).findings
    assert (one.claim, one.outcome, one.listed_under) == (
        "one",
        "inconclusive",
        "fails-by-one-reading",
    )
    late = {**found, "other": replace_outcome(found["other"], "not-run")}
    again = with_sentences(manifest, late)
    assert {each.outcome for each in again.values()} == {"inconclusive", "not-run"}


def replace_outcome(one: Finding, outcome: Outcome) -> Finding:
    return one.model_copy(update={"outcome": outcome})


# -----------------------------------------------------------------------------
# Any manifest

TEXT = st.sampled_from(["0.9", "1.0", "1.1", "2", "3"])
NAMES = tuple(printed_pages.named("abcdef"))
NAME = st.sampled_from(NAMES)
COMPARISON = st.fixed_dictionaries({"left": NAME, "right": NAME, "better": st.just("higher")})
WORDS = st.fixed_dictionaries(
    {},
    optional={
        "standing": st.sampled_from(get_args(Standing)),
        "quote": st.just("it is so"),
        "conditions": st.just(["it is installed"]),
    },
)
CHECKS = st.one_of(
    st.fixed_dictionaries({"kind": st.just("repeat"), "left": st.tuples(NAME)}).flatmap(
        lambda one: NAME.map(lambda right: {**one, "right": [right]})
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("ratio"),
            "published": NAME,
            "of": st.tuples(NAME, NAME),
            "form": st.just("times"),
            "relation": st.sampled_from(["equals", "at-least", "at-most"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("monotone"),
            "of": st.tuples(NAME, NAME, NAME),
            "direction": st.sampled_from(["rising", "falling"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("sampling"),
            "comparisons": st.tuples(COMPARISON.map(lambda one: {**one, "questions": 1000})),
            "z": st.just("0.5"),
        }
    ),
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Claims on six printed values, some of them readings of one or two sentences."""
    checks = draw(st.lists(st.tuples(CHECKS, WORDS), min_size=1, max_size=6))
    claims: list[dict[str, Any]] = [
        {**COMMON, **check, **words, "id": f"c{index}"}
        for index, (check, words) in enumerate(checks)
    ]
    names = [each["id"] for each in claims]
    first = draw(st.integers(0, len(names)))
    for name, readings in (("s0", names[:first]), ("s1", names[first : first + 2])):
        if draw(st.booleans()):
            sentence = {"kind": "ambiguous", "missing": "which", "readings": readings}
            claims.append({**COMMON, **sentence, **draw(WORDS), "id": name})
    texts = dict(zip(NAMES, draw(st.tuples(*[TEXT] * len(NAMES))), strict=True))
    base = printed_pages.manifest(texts, {"kind": "repeat", "left": ["v0"], "right": ["v0"]})
    every = tuple(CLAIMS.validate_python(each, strict=False) for each in claims)
    return base.model_copy(update={"claims": every})


@settings(max_examples=150, deadline=None)
@given(manifests())
def test_every_word_of_any_manifest_is_a_fair_one(manifest: Manifest) -> None:
    verdict = paper_against_itself(manifest)
    found = {each.claim: each for each in verdict.findings}
    sentences = {each.id: each for each in manifest.claims if each.kind == "ambiguous"}
    for each in found.values():
        assert each.outcome != "reproduced"  # nothing was measured
        if "contradicted-if" in codes(each):
            assert each.quote
            assert each.conditions
        if each.outcome == "contradicted":
            assert each.standing == "printed"
            assert each.quote
            assert not each.conditions
            assert all(one.outcome == "contradicted" for one in each.readings)
            assert each.reading_of is None or found[each.reading_of].outcome == "contradicted"
        assert (each.result is not None) == (each.standing != "printed")
    read = {name for each in sentences.values() for name in each.readings}
    counted = [each for each in found.values() if each.counts]
    assert {each.claim for each in counted} == {
        name for name, each in found.items() if each.standing == "printed" and name not in read
    }
    tally = {outcome: verdict.count(outcome) for outcome in get_args(Outcome)}
    assert sum(tally.values()) == len(counted)
    assert (exit_code([verdict]) == 1) == bool(tally["contradicted"])
    assert (exit_code([verdict]) == 0) == bool(counted and tally["consistent"] == len(counted))


# -----------------------------------------------------------------------------
# What a sentence takes over from its readings


def several(*names: str) -> Any:
    return claim(id="it", kind="ambiguous", missing="which", readings=list(names))


def test_three_good_words_come_to_the_weakest() -> None:
    found = sentence("proved", "reproduced", "consistent", said=several("a", "b", "c"))
    assert found.outcome == "consistent"


def test_every_reading_that_waits_is_named() -> None:
    found = sentence("not-run", "not-run", "consistent", said=several("a", "b", "c"))
    assert found.causes[0] == cause("reading-waits", names="a, b")


@pytest.mark.parametrize(
    ("bases", "expected"),
    [
        (("page", "measured"), "measured"),
        (("code", "page"), "page"),
        (("proof", "code"), "code"),
        (("proof", "proof"), "proof"),
    ],
)
def test_a_sentence_rests_on_the_most_telling_of_its_bases(
    bases: tuple[Basis, Basis], expected: Basis
) -> None:
    read_as = {
        name: read(name, "inconclusive", basis)
        for name, basis in zip(SENTENCE.readings, bases, strict=True)
    }
    assert decide_readings(MANIFEST, SENTENCE, read_as).basis == expected


def test_what_is_listed_already_is_not_listed_twice() -> None:
    why = cause("contradicted-if", condition="it ran")
    fields = {"causes": (why,), "conditions": ("it ran",), "quote": "so it says"}
    found = sentence("inconclusive", "inconclusive", **fields)
    assert codes(found) == ["contradicted-if", "open-words"]
    assert found.conditions == ("it ran",)


def test_a_sentence_quotes_itself_or_else_what_all_its_readings_quote() -> None:
    own = SENTENCE.model_copy(update={"quote": "mine"})
    assert sentence("consistent", "consistent", said=own, quote="theirs").quote == "mine"
    assert sentence("consistent", "consistent", quote="theirs").quote == "theirs"
    half = {
        "one": read("one", "consistent", quote="theirs"),
        "other": read("other", "consistent", quote=""),
    }
    assert decide_readings(MANIFEST, SENTENCE, half).quote == ""


def test_the_paper_against_itself_is_of_the_page_and_of_pinned_code() -> None:
    table1 = validate.load_manifest(paths.MANIFESTS / "table1.json")
    assert {each.basis for each in paper_against_itself(table1).findings} == {"page", "code"}
