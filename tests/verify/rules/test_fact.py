"""Facts in source files. Oracles: Python's own import of the same files, and code made here."""

import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pinned_sources import CONFIG, claimed, digest, installed, look, state_size
from pydantic import ValidationError

from repro import paths
from repro.environment import pins
from repro.inputs import sources
from repro.schema import validate
from repro.schema.causes import Cause, cause
from repro.schema.page_claims import FactClaim, SourceFile
from verify.outcome import RuleDecision
from verify.rules import fact

MODEL = "transformers/models/mamba/modeling_mamba.py"
TUNER = "peft/tuners/tuners_utils.py"


def passed(submodule: str, line: int, claimed: str) -> dict[str, Any]:
    source = installed("transformers", MODEL)
    where = {"function": "MambaMixer.cuda_kernels_forward", "callee": "mamba_inner_fn"}
    return look("passed", source, line, claimed, submodule=submodule, **where)


def base_weight(claimed: str = "base_layer.weight") -> dict[str, Any]:
    source = installed("peft", TUNER)
    return look("returns", source, 439, claimed, function="BaseTunerLayer.weight")


def decide(*lookups: dict[str, Any], **more: Any) -> RuleDecision:
    return fact.decide(*claimed(*lookups, **more))


# -----------------------------------------------------------------------------
# What is installed


STATE_SIZE = cause(
    "default-is",
    place=f"transformers 4.40.0, {CONFIG}:108",
    function="MambaConfig.__init__",
    parameter="state_size",
    value="16",
)


def test_a_default_is_what_python_says_it_is() -> None:
    from transformers import MambaConfig

    decided = decide(state_size())
    assert (decided.outcome, decided.measured) == ("reproduced", str(MambaConfig().state_size))
    assert decided.causes == (STATE_SIZE,)
    place = f"transformers 4.40.0, {CONFIG}:108"
    line = {"place": place, "line": "state_size=16,", "where": "as installed"}
    assert decided.working == (cause("line-read", **line),)


def test_another_default_contradicts_and_shows_both_sides() -> None:
    decided = decide(state_size("64"), condition="the default is kept")
    assert (decided.outcome, decided.published, decided.measured) == ("contradicted", "64", "16")
    assert decided.causes == (STATE_SIZE, cause("claimed", claimed="64"))


@pytest.mark.parametrize(
    ("submodule", "line", "found"),
    [("x_proj", 159, "weight"), ("out_proj", 161, "weight"), ("in_proj", 152, "module")],
)
def test_how_a_projection_reaches_the_fused_kernel(submodule: str, line: int, found: str) -> None:
    assert decide(passed(submodule, line, found)).outcome == "reproduced"
    assert decide(passed(submodule, line, "absent")).outcome == "contradicted"


def test_a_projection_is_made_with_the_sizes_of_the_real_one() -> None:
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer

    config = MambaConfig(hidden_size=64, state_size=3, num_hidden_layers=1)
    mixer = MambaMixer(config, 0)
    where = {"function": "MambaMixer.__init__", "submodule": "x_proj"}
    source = installed("transformers", MODEL)
    measured = decide(look("linear", source, 129, "3 * d -> T", **where)).measured
    inputs, outputs = (eval(size, {"self": mixer}) for size in measured.split(" -> "))
    assert tuple(mixer.x_proj.weight.shape) == (outputs, inputs)


def test_an_adapted_layer_gives_away_the_weight_of_its_base() -> None:
    import torch
    from peft.tuners.lora import Linear

    base = torch.nn.Linear(4, 4)
    assert Linear(base, "default", r=2).weight is base.weight
    assert decide(base_weight()).outcome == "reproduced"


def test_a_line_is_there_or_is_not() -> None:
    source, line = installed("peft", TUNER), digest(b"weight = base_layer.weight")
    there = look("line", source, 439, "present", line_sha256=line, what="it is the base's")
    assert decide(there).outcome == "reproduced"
    assert decide({**there, "claimed": "absent"}).outcome == "contradicted"
    gone = {**there, "line_sha256": digest(b"weight = base_layer.weight + 1")}
    assert decide(gone).outcome == "contradicted"
    assert decide({**gone, "claimed": "absent"}).outcome == "reproduced"


@pytest.mark.parametrize(
    ("lookup", "why"),
    [
        (state_size(line=107), ":107: MambaConfig.__init__ has state_size = 16 on line 108"),
        (state_size(sha256="0" * 64), "not the one that the claim was written for"),
        (state_size(version="4.41.0"), "4.41.0, the lock files pin transformers 4.40.0"),
        (state_size(package="no-such-thing"), "the lock files pin no such package"),
        ({**state_size(), "function": "Nowhere.__init__"}, "there is no Nowhere"),
        ({**state_size(), "parameter": "size"}, "no default for size"),
        ({**passed("x_proj", 159, "weight"), "callee": "f"}, "does not call f"),
    ],
)
def test_a_claim_that_misquotes_its_file_is_invalid(lookup: dict[str, Any], why: str) -> None:
    decided = decide(lookup)
    assert (decided.outcome, decided.measured) == ("invalid", "—")
    assert why in misquoted(decided)


def misquoted(decided: RuleDecision) -> str:
    """What is said of the only mistake."""
    (one,) = decided.causes
    assert one.code == "misquoted"
    return str(one.values["why"])


def test_one_wrong_lookup_of_two_is_enough() -> None:
    assert decide(state_size(), passed("x_proj", 159, "module")).outcome == "contradicted"
    assert decide(state_size(), state_size(line=1)).outcome == "invalid"


def test_a_premise_that_does_not_hold_leaves_nothing_to_decide() -> None:
    fused = passed("x_proj", 159, "module")
    decided = decide(fused, premises=[base_weight()])
    assert decided.outcome == "contradicted"
    assert [each.code for each in decided.causes] == ["passed-as", "claimed", "premise"]
    premise = {"place": f"peft 0.10.0, {TUNER}:439", "value": "base_layer.weight"}
    assert decided.causes[-1] == cause("premise", **premise)
    assert len(decided.working) == 2
    fails = decide(fused, premises=[base_weight("the adapted weight")])
    assert fails.outcome == "invalid"
    claimed = "the adapted weight"
    assert fails.causes == (cause("premise-fails", claimed=claimed, **premise),)


def test_each_kind_of_lookup_has_a_sentence_of_its_own() -> None:
    source, line = installed("peft", TUNER), digest(b"weight = base_layer.weight")
    there = look("line", source, 439, "present", line_sha256=line, what="it is the base's")
    where = {"function": "MambaMixer.__init__", "submodule": "x_proj"}
    sizes = look("linear", installed("transformers", MODEL), 129, "d -> T", **where)
    found = decide(passed("x_proj", 159, "weight"), base_weight(), there, sizes)
    codes = ["passed-as", "returns", "line-is", "linear-of", "claimed"]
    assert [each.code for each in found.causes] == codes


def test_a_path_cannot_leave_the_package() -> None:
    for file in ("../secret", "/etc/passwd", "a/../b", ""):
        with pytest.raises(ValidationError):
            SourceFile(package="peft", version="0.10.0", file=file, sha256="0" * 64)


# -----------------------------------------------------------------------------
# Ratios


def expansion(name: str, line: int) -> dict[str, Any]:
    return {**state_size(line=line), "parameter": name}


@pytest.mark.parametrize(
    ("lookups", "outcome", "measured"),
    [
        ([state_size(), expansion("conv_kernel", 115)], "reproduced", "16 / 4 = 4"),
        ([state_size(), expansion("expand", 114)], "contradicted", "16 / 2 = 8"),
        ([state_size(), expansion("pad_token_id", 111)], "invalid", "—"),  # by zero
        ([state_size(), expansion("hidden_act", 118)], "invalid", "—"),  # 'silu'
        ([state_size()], "invalid", "—"),
        ([state_size(), state_size(), state_size()], "invalid", "—"),
    ],
)
def test_ratios(lookups: list[dict[str, Any]], outcome: str, measured: str) -> None:
    decided = decide(*lookups, relation="ratio", published="four")
    assert (decided.outcome, decided.measured) == (outcome, measured)
    assert decided.published == "4"


def test_two_lookups_without_a_ratio_are_shown() -> None:
    decided = decide(state_size(), expansion("hidden_act", 118), relation="ratio", published="four")
    assert decided.causes == (cause("no-quotient", values="16 and 'silu'"),)


def test_a_claim_that_is_not_decided_shows_what_was_claimed() -> None:
    wrong = state_size("64", line=1), state_size("32", line=2)
    decided = decide(*wrong)
    assert (decided.outcome, decided.published, decided.margin) == ("invalid", "64; 32", "exact")
    assert [each.code for each in decided.causes] == ["misquoted"] * 2
    for line, one in enumerate(decided.causes, 1):
        assert f"{CONFIG}:{line}: " in str(one.values["why"])
    printed = decide(*wrong, relation="ratio", published="four")
    assert (printed.outcome, printed.published) == ("invalid", "4")


def test_what_a_misquoted_file_rests_on_is_beside_the_point() -> None:
    wrong, premises = state_size(line=1), [base_weight("one weight"), base_weight("another")]
    assert decide(wrong, premises=premises).causes == decide(wrong).causes


def test_facts_are_exact_and_show_each_value_once() -> None:
    decided = decide(state_size(), state_size(), expansion("expand", 114) | {"claimed": "3"})
    assert (decided.published, decided.measured, decided.margin) == ("16; 3", "16; 2", "exact")


# -----------------------------------------------------------------------------
# Archives

CODE = b"def size(state=64): ...\n"


def packed(files: dict[str, bytes]) -> bytes:
    """A source archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"made_up_code-1.0/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of our own, and a lock file that pins the archive of a made-up package."""
    lock = tmp_path / "kernels.txt"
    monkeypatch.setattr(pins, "KERNELS", lock)
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path))
    content = packed({"code/sizes.py": CODE})
    (paths.cache() / "made_up_code-1.0.tar.gz").write_bytes(content)
    lock.write_text(f"made-up-code==1.0 --hash=sha256:{digest(content)}\n")
    return tmp_path


def size_in(file: str = "code/sizes.py", sha256: str = digest(CODE)) -> dict[str, Any]:
    source = {"package": "made-up-code", "version": "1.0", "file": file, "sha256": sha256}
    return look("default", source, 1, "64", function="size", parameter="state")


def test_a_file_is_read_in_the_archive_of_the_lock(cache: Path) -> None:
    before = sorted(cache.iterdir())
    assert decide(size_in()).outcome == "reproduced"
    assert sorted(cache.iterdir()) == before
    assert not sources.missing_archives([claimed(size_in())[0]])


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ("nine", "reproduced"),  # 9 / 2 prints as 4 or as 5
        ("seven", "reproduced"),
        ("ten", "contradicted"),
    ],
)
def test_a_ratio_where_the_rounding_ends(cache: Path, over: str, expected: str) -> None:
    code = b"def sizes(two=2, seven=7, nine=9, ten=10): ...\n"
    content = packed({"code/sizes.py": code})
    (cache / "made_up_code-1.0.tar.gz").write_bytes(content)
    pins.KERNELS.write_text(f"made-up-code==1.0 --hash=sha256:{digest(content)}\n")
    lookups = [
        {**size_in(sha256=digest(code)), "function": "sizes", "parameter": name}
        for name in (over, "two")
    ]
    assert decide(*lookups, relation="ratio", published="four").outcome == expected


def test_a_package_that_is_nowhere_is_not_run_and_can_be_fetched(cache: Path) -> None:
    (cache / "made_up_code-1.0.tar.gz").unlink()
    decided = decide(size_in())
    assert decided.outcome == "not-run"
    assert [each.code for each in decided.causes] == ["source-missing", "fetch-the-archive"]
    assert decided.causes[1].values == {"manifest": "made-up"}
    printed = decide(size_in(), state_size(), relation="ratio", published="four")
    assert (printed.outcome, printed.published) == ("not-run", "4")
    (pin,) = sources.missing_archives([claimed(size_in(), state_size())[0]])
    assert (pin.name, pin.version) == ("made-up-code", "1.0")
    assert not sources.missing_archives([claimed(state_size(sha256="0" * 64))[0]])


def test_every_package_that_is_nowhere_is_named(cache: Path) -> None:
    (cache / "made_up_code-1.0.tar.gz").unlink()
    pins.KERNELS.write_text(pins.KERNELS.read_text() + f"more-code==2.0 --hash=sha256:{'0' * 64}\n")
    other = size_in()
    other["source"] = {**other["source"], "package": "more-code", "version": "2.0"}
    where = f"is neither installed nor, as an archive, in {paths.cache()}"
    packages = ("made-up-code 1.0", "more-code 2.0")
    assert decide(size_in(), other).causes == (
        *(cause("source-missing", why=f"{package} {where}") for package in packages),
        cause("fetch-the-archive", manifest="made-up"),
    )
    twice = decide(size_in(), size_in())  # and once only
    assert [each.code for each in twice.causes] == ["source-missing", "fetch-the-archive"]


def missing(decided: RuleDecision) -> str:
    """What is said of the source that is not to be had."""
    found = [each for each in decided.causes if each.code == "source-missing"]
    (one,) = found
    return str(one.values["why"])


def test_another_archive_of_that_name_is_not_read(cache: Path) -> None:
    (cache / "made_up_code-1.0.tar.gz").write_bytes(packed({"code/sizes.py": CODE + b"#\n"}))
    decided = decide(size_in())
    assert decided.outcome == "not-run"
    assert "(made_up_code-1.0.tar.gz there is not the pinned one)" in missing(decided)


def test_a_wheel_is_an_archive_too(cache: Path) -> None:
    (cache / "made_up_code-1.0.tar.gz").unlink()
    path = cache / "made_up_code-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("code/sizes.py", CODE)
    pins.KERNELS.write_text(f"made-up-code==1.0 --hash=sha256:{digest(path.read_bytes())}\n")
    decided = decide(size_in())
    assert decided.outcome == "reproduced"
    assert decided.working[0].values["where"] == f"from the archive {path.name}"
    path.write_bytes(b"no archive")
    pins.KERNELS.write_text(f"made-up-code==1.0 --hash=sha256:{digest(b'no archive')}\n")
    sources._read.cache_clear()
    sources._pinned.cache_clear()
    assert "cannot be read" in missing(decide(size_in()))


# -----------------------------------------------------------------------------
# The committed index


def every_fact() -> dict[str, tuple[str, str, tuple[Cause, ...]]]:
    """Outcome, measured side and causes of every fact of the bundle."""
    manifests = map(validate.load_manifest, sorted(paths.MANIFESTS.glob("*.json")))
    found = {}
    for each in manifests:
        for claim in each.claims:
            if isinstance(claim, FactClaim):
                decided = fact.decide(each, claim)
                found[claim.id] = (decided.outcome, decided.measured, decided.causes)
    return found


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A light install on a fresh machine: neither the packages nor any archive of them."""
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path))
    monkeypatch.setattr("repro.environment.installed.distribution", lambda _: None)
    sources._read.cache_clear()


@pytest.mark.usefixtures("nothing_here")
def test_facts_are_the_same_where_nothing_is_installed_or_fetched() -> None:
    without = every_fact()
    assert {outcome for outcome, _, _ in without.values()} == {"reproduced", "contradicted"}
    bundled = [validate.load_manifest(each) for each in sorted(paths.MANIFESTS.glob("*.json"))]
    assert not sources.missing_archives(bundled)


def test_the_index_says_what_the_files_say(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    read = every_fact()  # those of mamba-ssm by the index, unless its archive is in the cache
    request.getfixturevalue("nothing_here")
    assert every_fact() == read
    monkeypatch.setattr(sources, "INDEX", Path("nowhere.json"))
    assert {outcome for outcome, _, _ in every_fact().values()} == {"not-run"}


@pytest.mark.usefixtures("nothing_here")
def test_a_finding_says_that_the_index_answered() -> None:
    decided = decide(state_size())
    assert decided.outcome == "reproduced"
    (line,) = decided.working
    assert line.code == "line-of-the-index"
    assert line.values["place"] == f"transformers 4.40.0, {CONFIG}:108"
    for name in ("line", "archive"):
        assert re.fullmatch("[0-9a-f]{12}", str(line.values[name]))
    assert decide(state_size(line=1)).outcome == "not-run"  # another question
    assert decide(state_size() | {"parameter": "expand"}).outcome == "not-run"
    assert decide(state_size(sha256="0" * 64)).outcome == "not-run"


@pytest.mark.usefixtures("nothing_here")
def test_an_answer_from_another_archive_than_the_locks_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index.json"
    data = json.loads((paths.CATALOG / sources.INDEX).read_text(encoding="utf-8"))
    index.write_text(json.dumps(data))
    monkeypatch.setattr(sources, "INDEX", index)
    assert decide(state_size()).outcome == "reproduced"
    for each in data["answers"]:
        each["archive"] = "0" * 64
    other = tmp_path / "other.json"
    other.write_text(json.dumps(data))
    monkeypatch.setattr(sources, "INDEX", other)
    assert decide(state_size()).outcome == "not-run"


def test_the_index_is_what_the_archives_say() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.describe_sources"],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if "could not fetch" in done.stderr:
        pytest.skip(f"an archive is not to be had: {done.stderr.splitlines()[-1]}")
    assert done.stdout == (paths.CATALOG / sources.INDEX).read_text(encoding="utf-8"), done.stderr


@pytest.mark.parametrize("kept", [0, 5, 40, 100])
def test_a_damaged_archive_is_a_message(cache: Path, kept: int) -> None:
    path = cache / "made_up_code-1.0.tar.gz"
    damaged = path.read_bytes()[:kept] or b"no archive"
    path.write_bytes(damaged)
    pins.KERNELS.write_text(f"made-up-code==1.0 --hash=sha256:{digest(damaged)}\n")
    decided = decide(size_in())
    assert decided.outcome == "not-run"
    assert "cannot be read" in missing(decided)


@pytest.mark.parametrize(
    ("lookup", "why"),
    [
        (size_in("code/shapes.py"), "made-up-code 1.0 has no file code/shapes.py"),
        (size_in(sha256="0" * 64), "not the one that the claim was written for"),
    ],
)
def test_what_the_archive_does_not_hold_is_invalid(
    cache: Path, lookup: dict[str, Any], why: str
) -> None:
    assert cache.is_dir()
    decided = decide(lookup)
    assert decided.outcome == "invalid"
    assert why in misquoted(decided)


def test_an_installed_package_of_another_version_is_not_read(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = cache / "lock.txt"
    lock.write_text(f"transformers==4.41.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(pins, "LOCK", lock)
    assert decide(state_size(version="4.41.0")).outcome == "not-run"


# -----------------------------------------------------------------------------
# The lookups, on code made here

MADE_UP = """
class Layer(Base):
    name = "layer"
    norm: float = field(default=1.0, metadata={})
    rate: float = 0.5
    open: int

    def __init__(self, a, b=2, *, c=None, d):
        if a:
            self.proj = nn.Linear(a, 2 * b, bias=False)
        else:
            self.proj = ParallelLinear(a, b)
            self.proj = nn.Linear(b, a)
        self.conv = nn.Conv1d(a, b)

    def forward(self, x):
        y, z = split(self.up(x)), 0
        w = self.down.weight @ x
        out = fused(y, w, self.mid.bias, flag=self.head.proj)
        late = self.mid(out)
        fused(late, self.mid.weight)
        return out

    def before(self, x):
        out = fused(x)
        x = self.up(x)
        return out

    def nothing(self):
        return
"""


def found(kind: str, line: int = 1, text: str = MADE_UP, **more: str) -> tuple[int, str]:
    source = {"package": "x", "version": "1", "file": "x.py", "sha256": "0" * 64}
    _, claim = claimed(look(kind, source, line, "?", **more))
    result = fact.look_up(claim.lookups[0], text)
    return result.line, result.value


@pytest.mark.parametrize(
    ("function", "parameter", "expected"),
    [
        ("Layer.__init__", "b", (8, "2")),
        ("Layer.__init__", "c", (8, "None")),
        ("Layer", "name", (3, "'layer'")),
        ("Layer", "norm", (4, "1.0")),
        ("Layer", "rate", (5, "0.5")),
    ],
)
def test_defaults(function: str, parameter: str, expected: tuple[int, str]) -> None:
    assert found("default", function=function, parameter=parameter) == expected


@pytest.mark.parametrize(
    ("function", "submodule", "expected"),
    [
        ("Layer.forward", "up", (17, "module")),  # called, in what was assigned before
        ("Layer.forward", "down", (18, "weight")),
        ("Layer.forward", "head.proj", (19, "module")),
        ("Layer.forward", "mid", (20, "module")),  # by the second call, beside its weight
        ("Layer.before", "up", (25, "absent")),  # assigned after the call
    ],
)
def test_ways_into_a_call(function: str, submodule: str, expected: tuple[int, str]) -> None:
    where = {"function": function, "callee": "fused", "submodule": submodule}
    assert found("passed", **where) == expected


@pytest.mark.parametrize(
    ("line", "expected"), [(10, "a -> 2 * b"), (13, "b -> a"), (1, "a -> 2 * b")]
)
def test_linear_layers_are_told_apart_by_line(line: int, expected: str) -> None:
    _, value = found("linear", line, function="Layer.__init__", submodule="proj")
    assert value == expected


def test_what_is_returned_is_what_was_assigned() -> None:
    where = {"function": "Layer.forward"}
    expected = (19, "fused(y, w, self.mid.bias, flag=self.head.proj)")
    assert found("returns", **where) == expected


def test_a_line_is_found_where_it_stands() -> None:
    more = {"line_sha256": digest(b"y, z = split(self.up(x)), 0"), "what": "it is split"}
    assert found("line", 17, **more) == (17, "present")
    assert found("line", 3, **more) == (17, "present")
    twice = {**more, "line_sha256": digest(b"return out")}
    assert found("line", 22, **twice) == (22, "present")
    assert found("line", 27, **twice) == (27, "present")
    assert found("line", 3, **twice) == (22, "present")
    gone = {**more, "line_sha256": digest(b"y = 0")}
    assert found("line", 3, **gone) == (3, "absent")
    assert found("line", 31, **gone) == (31, "absent")
    with pytest.raises(fact.LookupFailedError, match="the file has 31 lines"):
        found("line", 32, **gone)


@pytest.mark.parametrize(
    ("kind", "where", "why"),
    [
        ("default", {"function": "Layer.__init__", "parameter": "d"}, "no default for d"),
        ("default", {"function": "Layer", "parameter": "open"}, "no default for open"),
        ("default", {"function": "Layer.step", "parameter": "d"}, "there is no step"),
        ("linear", {"function": "Layer.__init__", "submodule": "conv"}, "no linear layer"),
        ("returns", {"function": "Layer.nothing"}, "returns nothing"),
    ],
)
def test_a_question_about_nothing_has_no_answer(kind: str, where: dict[str, str], why: str) -> None:
    with pytest.raises(fact.LookupFailedError, match=why):
        found(kind, **where)


def test_what_is_not_python_is_a_message() -> None:
    _, claim = claimed(state_size())
    with pytest.raises(fact.LookupFailedError, match="it is not Python"):
        fact.look_up(claim.lookups[0], "def broken(")


def test_a_field_made_by_a_function_has_that_function() -> None:
    code = "class A:\n    x: list = field(default_factory=list)\n"
    expected = (2, "field(default_factory=list)")
    assert found("default", text=code, function="A", parameter="x") == expected


def test_a_linear_layer_is_one_by_its_last_name_and_has_two_sizes() -> None:
    code = """
class A:
    def __init__(self, a):
        self.one = Linear(a)
        self.one = torch.nn.Linear(a, 3, False)
"""
    where = {"function": "A.__init__", "submodule": "one"}
    assert found("linear", text=code, **where) == (5, "a -> 3")


@pytest.mark.parametrize(
    ("returned", "expected"), [("a + 1", "a + 1"), ("a", "a"), ("None", "None")]
)
def test_what_was_never_assigned_is_returned_as_written(returned: str, expected: str) -> None:
    code = f"def f(a):\n    b = 0\n    return {returned}\n"
    assert found("returns", text=code, function="f") == (3, expected)


def test_variables_that_are_made_of_each_other_are_followed_once() -> None:
    code = """
class A:
    def forward(self, x):
        for _ in range(2):
            x = self.up(y)
            y = g(x)
        return fused(x)
"""
    where = {"function": "A.forward", "callee": "fused", "submodule": "up"}
    assert found("passed", text=code, **where) == (5, "module")
    assert found("passed", text=code, **{**where, "submodule": "down"}) == (7, "absent")


def test_other_attributes_of_a_module_are_the_module() -> None:
    code = """
class A:
    def forward(self, x):
        return fused(x, self.up.scale, self.down.bias, self.out.weight.T)
"""
    where = {"function": "A.forward", "callee": "fused"}
    expected = {"up": "module", "down": "absent", "out": "weight", "down.bias": "module"}
    for submodule, how in expected.items():
        assert found("passed", text=code, submodule=submodule, **where) == (4, how)
