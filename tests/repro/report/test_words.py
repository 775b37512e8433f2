"""Words that changed between two sets of results. Oracle: results and findings changed by hand."""

import json
import shutil
from pathlib import Path
from typing import Any

import own_manifests as own
import pytest
from command_line import repro_here

from repro.cli.main import main
from repro.errors import BadInputError
from repro.report import words


def two_jobs() -> dict[str, Any]:
    """Two weight tyings, and a claim about each."""
    data = own.with_a_job("ours")
    (job,), (claim,) = data["jobs"], data["claims"]
    data["jobs"].append({**job, "id": "two", "job": {**job["job"], "seed": 1}})
    data["claims"].append({**claim, "id": "tied.two", "jobs": ["two"]})
    return data


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half of a run in `half`, all of it in `whole`, and in `packet.zip`."""
    folder = tmp_path_factory.mktemp("ran")
    own.save(folder, two_jobs())
    half = ("run", "ours.json", "--only", "model=one", "--out", "half")
    assert repro_here(*half, cwd=folder).returncode == 0
    shutil.copytree(folder / "half", folder / "whole")
    assert repro_here("run", "ours.json", "--out", "whole", cwd=folder).returncode == 0
    packet = ("export", "whole", "--format", "ro-crate", "--out", "packet.zip")
    assert repro_here(*packet, cwd=folder).returncode == 0
    for name in ("half", "whole"):
        done = repro_here("verify", name, "--json", cwd=folder)
        (folder / f"{name}.json").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.mark.parametrize("before", ["half", "half.json"])
@pytest.mark.parametrize("after", ["whole", "whole.json", "packet.zip"])
def test_the_claims_whose_word_changed_are_listed(ran: Path, before: str, after: str) -> None:
    done = repro_here("verify", after, "--since", before, "--json", cwd=ran)
    assert done.returncode == 4
    found = json.loads(done.stdout)
    assert found["changed"] == [
        {"claim": "ours:tied.two", "before": "not-run", "after": "reproduced"}
    ]
    assert found["words"]["ours:tied"] == "reproduced"
    text = repro_here("verify", after, "--since", before, cwd=ran).stdout.splitlines()
    assert "ours:tied.two: not-run → reproduced" in text
    assert text[-1].endswith(" that both have, 1 with another word")


def test_what_is_the_same_exits_0_and_may_be_kept_for_the_next_time(ran: Path) -> None:
    done = repro_here("verify", "whole", "--since", "packet.zip", "--json", cwd=ran)
    assert done.returncode == 0
    assert json.loads(done.stdout)["changed"] == []
    (ran / "kept.json").write_text(done.stdout, encoding="utf-8")
    assert repro_here("verify", "whole", "--since", "kept.json", cwd=ran).returncode == 0
    assert repro_here("verify", "half", "--since", "kept.json", cwd=ran).returncode == 4


def test_several_results_are_one_set(ran: Path) -> None:
    """What one of them leaves out is there in the other."""
    since = ("--since", "whole", "--since", "half")
    done = repro_here("verify", *since, "half", "whole", cwd=ran)
    assert done.returncode == 0


def test_what_is_only_on_one_side_is_no_change_and_is_named(ran: Path, tmp_path: Path) -> None:
    kept = json.loads((ran / "whole.json").read_text())
    kept[0]["findings"][0]["claim"] = "gone"
    (tmp_path / "older.json").write_text(json.dumps(kept))
    since = ("--since", str(tmp_path / "older.json"))
    done = repro_here("verify", "whole.json", *since, cwd=ran)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "ours:gone: only before",
        "ours:tied: only now",
        "1 claim that both have, 0 with another word",
    ]


def test_findings_of_another_version_may_have_fields_that_this_one_does_not_know(
    ran: Path, tmp_path: Path
) -> None:
    kept = json.loads((ran / "whole.json").read_text())
    kept[0]["colour"] = "green"
    kept[0]["findings"][0] |= {"weight": 1, "outcome": "inconclusive"}
    del kept[0]["findings"][0]["answers"]
    (tmp_path / "older.json").write_text(json.dumps(kept))
    found = words.load(tmp_path / "older.json")
    assert found == {"ours:tied": "inconclusive", "ours:tied.two": "reproduced"}


def test_of_several_runs_of_a_claim_the_one_that_says_most_counts(
    ran: Path, tmp_path: Path
) -> None:
    both = [json.loads((ran / f"{name}.json").read_text())[0] for name in ("whole", "half")]
    for order in (both, both[::-1]):
        (tmp_path / "both.json").write_text(json.dumps(order))
        assert words.load(tmp_path / "both.json")["ours:tied.two"] == "reproduced"


def test_of_snapshots_the_last_is_taken(tmp_path: Path) -> None:
    days = {"2026-01-01": {"a:b": "held"}, "2026-02-01": {"a:b": "proved"}}
    (tmp_path / "days.json").write_text(json.dumps({"snapshots": days, "changes": []}))
    assert words.load(tmp_path / "days.json") == {"a:b": "proved"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "Expecting"),
        ("{}", "no claim"),
        ("[]", "no claim"),
        ("3", "valid dictionary"),
        ('{"words": {"a:b": 1}}', "valid string"),
        ('{"a:b": "held", "a:b": "proved"}', "twice"),
        ('[{"manifest": "a", "findings": [{"claim": "b"}]}]', "Field required"),
        ('{"snapshots": {}}', "no claim"),
        ('{"snapshots": {"2026-01-01": 1}}', "valid dictionary"),
    ],
)
def test_a_file_without_words_is_refused(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "older.json").write_text(text)
    with pytest.raises(BadInputError, match="has no words") as caught:
        words.load(tmp_path / "older.json")
    (problem,) = caught.value.problems
    assert found in problem.found
    assert "`repro verify --json` printed" in problem.expected


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("whole", "--since", "nowhere"), "found no folder nowhere"),
        (("whole", "--since", "half.json", "--since", "half"), "expected a file of words alone"),
        (("whole", "--since", "half", "--markdown"), "beside it, expected neither"),
        (("whole", "--since", "half", "--paper"), "beside it, expected neither"),
        (("whole", "--since", "other.json"), "no claim that both have"),
        (("whole", "--since", "empty"), "holds no runs"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    ran: Path, arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (ran / "other.json").write_text('{"another:claim": "held"}')
    (ran / "empty").mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ran)
        assert main(["verify", *arguments]) == 2
    out, error = capsys.readouterr()
    assert told in error
    assert not out


def test_what_cannot_be_judged_is_told_beside_the_rest(ran: Path, tmp_path: Path) -> None:
    shutil.copytree(ran / "whole", tmp_path / "mine/whole")
    own.save(tmp_path / "mine", two_jobs())
    own.save(tmp_path / "mine", own.with_a_job("other"))
    here = tmp_path / "mine"
    assert repro_here("run", "other.json", "--out", "whole", cwd=here).returncode == 0
    (here / "whole/runs/other.full.json").write_text("{")
    done = repro_here("verify", "whole", "--since", str(ran / "half"), cwd=here)
    assert done.returncode == 3
    assert "ours:tied.two: not-run → reproduced" in done.stdout
    assert "other.full.json is damaged" in done.stderr
