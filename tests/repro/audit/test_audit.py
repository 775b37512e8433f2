"""Audits of small made-up site-packages folders, against small made-up locks."""

import base64
import hashlib
import platform
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from repro import paths
from repro.audit import audit as audits
from repro.audit.audit import Audit, Row
from repro.environment import machine, pins, revision
from repro.environment.machine import Gpu
from repro.environment.revision import Revision
from repro.errors import BadInputError
from repro.store import keys

SHA = "ab" * 32
GPU = Gpu(name="NVIDIA H200", driver="550.1", memory=1, uuid="GPU-aaaa")


def recorded(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"{name},sha256={digest},{len(content)}\n"


class Site:
    """A site-packages folder, the locks that it is held to, and an audit of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "site-packages"
        self.folder.mkdir()
        self.lock = folder / "lock.txt"

    def pin(self, **versions: str) -> None:
        lines = [f"{name}=={version} --hash=sha256:{SHA}" for name, version in versions.items()]
        self.lock.write_text("\n".join(lines), encoding="utf-8")

    def install(self, name: str, version: str, *modules: str, record: bool = True) -> None:
        """Install a package as pip does: modules, byte code, metadata and RECORD."""
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
        files = {module: f"# {module} {version}\n".encode() for module in modules}
        files[f"{info}/METADATA"] = metadata
        for path, content in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content)
        rows = [recorded(path, content) for path, content in files.items()]
        rows += [f"{name}/__pycache__/__init__.cpython-311.pyc,,\n", f"{info}/RECORD,,\n"]
        if record:
            (self.folder / info / "RECORD").write_text("".join(rows), encoding="utf-8")

    def audit(self, *also: Path) -> Audit:
        search = [str(self.folder), *(str(path) for path in also)]
        return audits.audit(self.lock, search=search)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with one pinned package, installed as pinned, on a machine without a GPU."""
    monkeypatch.setattr(machine, "find_gpus", lambda: ())
    monkeypatch.setattr(pins, "paper", dict)
    # Whoever works on this checkout has edited it: `test_repro_revision.py` is about that.
    clean = Revision(of="commit 1", changed=())
    monkeypatch.setattr(revision, "own", lambda: clean)
    kernels, tools = tmp_path / "kernels.txt", tmp_path / "tools.txt"
    kernels.write_text(f"mamba-ssm==2.2.2 --hash=sha256:{SHA}\n", encoding="utf-8")
    tools.write_text(f"pytest==9.2.0 --hash=sha256:{SHA}\n", encoding="utf-8")
    monkeypatch.setattr(pins, "KERNELS", kernels)
    monkeypatch.setattr(pins, "DEVELOPMENT", tools)
    for name in ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"):
        monkeypatch.delenv(name, raising=False)
    made = Site(tmp_path)
    made.pin(alpha="1.0")
    made.install("alpha", "1.0", "alpha/__init__.py", "alpha/core.py")
    return made


def row(found: Audit, package: str) -> Row:
    (only,) = [each for each in found.rows if each.package == package]
    return only


def test_as_pinned(site: Site) -> None:
    found = site.audit()
    assert row(found, "alpha") == Row(
        package="alpha",
        paper=None,
        pinned="1.0",
        installed="1.0",
        state="as pinned",
        detail="",
        files=(),
    )
    assert row(found, "mamba-ssm").state == "missing (needs a GPU)"
    assert found.problems == ()
    assert not found.drifted


def test_missing_kernels_are_drift_beside_a_gpu(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "find_gpus", lambda: (GPU,))
    monkeypatch.setattr(machine, "driver_cuda_version", lambda: "12.4")
    found = site.audit()
    assert row(found, "mamba-ssm").state == "missing"
    assert found.drifted


def test_what_stands_in_for_the_papers_version_is_named_and_is_no_drift(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = pins.PaperPin(
        package="alpha",
        name="Alpha",
        printed="1.0.dev0",
        place="Appendix D",
        stands_in="never released",
        note="",
    )
    monkeypatch.setattr(pins, "paper", lambda: {"alpha": named})
    found = site.audit()
    alpha = row(found, "alpha")
    assert (alpha.paper, alpha.pinned, alpha.installed) == ("1.0.dev0", "1.0", "1.0")
    assert (alpha.state, alpha.detail) == ("stands in", "never released")
    assert found.rows[0] == alpha
    assert not found.drifted


def test_a_wrong_version(site: Site) -> None:
    site.pin(alpha="1.1")
    found = site.audit()
    assert row(found, "alpha").state == "wrong version"
    assert (row(found, "alpha").pinned, row(found, "alpha").installed) == ("1.1", "1.0")
    assert found.drifted


def test_a_missing_package(site: Site) -> None:
    site.pin(alpha="1.0", beta="2.0")
    found = site.audit()
    assert row(found, "beta").state == "missing"
    assert found.drifted


def test_an_extra_package_is_drift_a_tool_and_the_installer_are_not(site: Site) -> None:
    site.install("pytest", "9.2.0", "pytest/__init__.py")
    site.install("pip", "23.2.1", "pip/__init__.py")
    site.install("lyapunov_repro", "0.1.0", "__editable__.lyapunov_repro-0.1.0.pth")
    found = site.audit()
    states = [row(found, name).state for name in ("pytest", "pip", "lyapunov-repro")]
    assert states == ["development tool", "installer", "the bundle itself"]
    assert not found.drifted
    site.install("gamma", "3.0", "gamma/__init__.py")
    found = site.audit()
    assert row(found, "gamma").state == "extra"
    assert found.drifted


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"#", b"!"))


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("harm", "what"),
    [(edit, "changed"), (Path.unlink, "deleted"), (replace_by_folder, "cannot be read")],
)
def test_a_changed_file_of_the_same_size_a_deleted_one_and_an_unreadable_one(
    site: Site, harm: Callable[[Path], None], what: str
) -> None:
    harm(site.folder / "alpha" / "core.py")
    found = site.audit()
    assert row(found, "alpha").state == "changed since installed"
    (line,) = row(found, "alpha").files
    assert line.startswith(f"alpha/core.py: {what}")
    assert found.drifted


def test_byte_code_is_not_held_to_a_digest(site: Site) -> None:
    (site.folder / "alpha" / "__pycache__").mkdir()
    (site.folder / "alpha" / "__pycache__" / "core.cpython-311.pyc").write_bytes(b"anything")
    assert not site.audit().drifted


def test_a_weak_digest_proves_nothing(site: Site) -> None:
    record = site.folder / "alpha-1.0.dist-info" / "RECORD"
    record.write_text(record.read_text("utf-8").replace("sha256=", "md5="), encoding="utf-8")
    assert "proves nothing" in row(site.audit(), "alpha").files[0]


def test_a_package_without_record_cannot_be_checked(site: Site) -> None:
    site.pin(alpha="1.0", beta="2.0")
    site.install("beta", "2.0", "beta/__init__.py", record=False)
    found = site.audit()
    assert row(found, "beta").state == "no RECORD"
    assert found.drifted


def test_two_installations_of_one_package(site: Site) -> None:
    site.install("Alpha", "0.9", "alpha/old.py")
    found = site.audit()
    assert row(found, "alpha").state == "duplicate"
    assert "0.9" in row(found, "alpha").detail
    assert "1.0" in row(found, "alpha").detail
    assert found.drifted


def test_a_folder_searched_twice_is_no_duplicate(site: Site) -> None:
    assert not site.audit(site.folder, site.folder / "." / "alpha" / "..").drifted


@pytest.mark.parametrize("module", ["runner/__init__.py", "verify.py", "repro/deep/hook.py"])
def test_a_second_owner_of_one_of_our_packages(site: Site, module: str) -> None:
    site.pin(alpha="1.0", impostor="1.0")
    site.install("impostor", "1.0", module)
    found = site.audit()
    name = module.partition("/")[0].removesuffix(".py")
    assert f"impostor 1.0 also ships a top-level `{name}`" in found.problems
    assert row(found, "impostor").state == "as pinned"
    assert found.drifted


def test_a_second_owner_that_only_declares_the_package(site: Site) -> None:
    """An editable installation has no file of its package, only its name."""
    site.pin(alpha="1.0", impostor="1.0")
    site.install("impostor", "1.0", "impostor-1.0.dist-info/top_level.txt")
    declared = site.folder / "impostor-1.0.dist-info" / "top_level.txt"
    declared.write_text("runner\n", encoding="utf-8")
    assert "impostor 1.0 also ships a top-level `runner`" in site.audit().problems


def test_a_stray_package_on_the_search_path(site: Site, tmp_path: Path) -> None:
    stray = tmp_path / "elsewhere"
    (stray / "runner").mkdir(parents=True)
    assert not site.audit(stray).drifted, "an empty folder answers for nobody"
    (stray / "runner" / "evaluate.py").touch()
    found = site.audit(stray)
    assert any("can be imported as `runner`" in problem for problem in found.problems)
    assert found.drifted


def test_this_checkout_does_not_shadow_itself(site: Site) -> None:
    assert site.audit(Path(audits.__file__).parents[2]).problems == ()


@pytest.mark.parametrize("name", ["sitecustomize.py", "hook.pth", "~lpha/__init__.py"])
def test_a_file_that_no_package_owns(site: Site, name: str) -> None:
    (site.folder / name).parent.mkdir(exist_ok=True)
    (site.folder / name).touch()
    found = site.audit()
    (problem,) = found.problems
    assert problem.endswith(f"{name.partition('/')[0]} belongs to no package")
    assert found.drifted


def test_what_an_uninstallation_leaves_is_no_drift(site: Site) -> None:
    (site.folder / "gone" / "__pycache__").mkdir(parents=True)
    (site.folder / "gone" / "__pycache__" / "gone.cpython-311.pyc").touch()
    assert not site.audit().drifted


def test_forced_tf32_is_drift(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert not site.audit().drifted
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    assert site.audit().problems == ("NVIDIA_TF32_OVERRIDE=1 turns float32 into TF32",)


def test_another_python_than_the_locks_is_drift(site: Site) -> None:
    text = site.lock.read_text("utf-8")
    major, minor, _ = platform.python_version_tuple()
    header = "# uv pip compile requirements.in --python-version"
    site.lock.write_text(f"{header} {major}.{minor}\n{text}", encoding="utf-8")
    assert not site.audit().drifted
    site.lock.write_text(f"{header} 3.8\n{text}", encoding="utf-8")
    (problem,) = site.audit().problems
    assert problem.endswith("lock.txt was compiled for 3.8")


def test_progress_counts_bytes_to_the_end(site: Site) -> None:
    seen: list[tuple[int, int, str]] = []
    audits.audit(site.lock, lambda *step: seen.append(step), search=[str(site.folder)])
    done, total, note = seen[-1]
    assert done == total > 0
    assert note == "alpha"


def test_a_lock_without_hashes_is_refused_before_anything_is_read(site: Site) -> None:
    site.lock.write_text("alpha==1.0\n", encoding="utf-8")
    with pytest.raises(BadInputError, match="exact versions and hashes"):
        site.audit()


def test_an_audit_survives_json(site: Site) -> None:
    found = site.audit()
    assert Audit.model_validate_json(found.model_dump_json()) == found


def test_auditing_imports_no_ml_framework_and_starts_quickly() -> None:
    code = "import sys, repro.audit.audit; print('torch' in sys.modules, 'numpy' in sys.modules)"
    command = [sys.executable, "-c", code]
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
        assert done.stdout.split() == ["False", "False"]
    # Generous: the machine may be busy. The budget of the whole command is 0.4 s.
    assert min(seconds) < 2


# -----------------------------------------------------------------------------
# What no RECORD lists, and what comes first


def test_a_module_that_was_added_inside_a_package_is_named(site: Site) -> None:
    (site.folder / "alpha" / "deep").mkdir()
    (site.folder / "alpha" / "deep" / "evil.py").touch()
    (site.folder / "alpha" / "old.pyc").touch()  # imported without a source
    found = site.audit()
    assert row(found, "alpha").state == "changed since installed"
    assert sorted(row(found, "alpha").files) == [
        "alpha/deep/evil.py: in no RECORD",
        "alpha/old.pyc: in no RECORD",
    ]


def test_a_line_that_is_gone_from_a_record_is_named(site: Site) -> None:
    record = site.folder / "alpha-1.0.dist-info" / "RECORD"
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(line for line in lines if not line.startswith("alpha/core.py")))
    assert row(site.audit(), "alpha").files == ("alpha/core.py: in no RECORD",)


@pytest.mark.parametrize("name", ["sitecustomize.py", "usercustomize.py", "x.pth"])
def test_what_python_runs_at_its_start_is_named(site: Site, name: str) -> None:
    (site.folder / name).touch()
    found = site.audit()
    assert any(name in each for each in found.problems)


@pytest.mark.parametrize("name", ["alpha.py", "alpha/__init__.py", "sitecustomize.py", "random.py"])
def test_a_module_that_comes_before_a_pinned_one_is_named(site: Site, name: str) -> None:
    first = site.folder.parent / "first"
    (first / name).parent.mkdir(parents=True)
    (first / name).touch()
    library = sysconfig.get_path("stdlib")
    found = audits.audit(site.lock, search=[str(first), library, str(site.folder)])
    (line,) = found.problems
    top = name.partition("/")[0]
    assert line == f"{first / top} is imported as `{top.partition('.')[0]}`"
    behind = audits.audit(site.lock, search=[library, str(site.folder), str(first)])
    assert len(behind.problems) == (name == "sitecustomize.py")


def test_variables_that_come_first_are_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{paths.ROOT}")
    assert site.audit().problems == ()
    monkeypatch.setenv("PYTHONPATH", f"{paths.ROOT}:/elsewhere")
    assert site.audit().problems == (f"PYTHONPATH={paths.ROOT}:/elsewhere is in effect",)


# -----------------------------------------------------------------------------
# What a run notes


def captured() -> machine.Environment:
    """This machine as another process would find it."""
    machine._altered_versions.cache_clear()
    return machine.capture()


def test_a_run_notes_an_edited_library(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("numpy", "1.26.4", "numpy/__init__.py", "numpy/core.so")
    monkeypatch.setattr(sys, "path", [str(site.folder)])
    assert not captured().packages["numpy"].startswith("1.26.4 ")
    (site.folder / "numpy" / "__init__.py").write_text("edited")
    one = captured()
    assert one.packages["numpy"].startswith("1.26.4 (1 file not as installed, numpy/__init__.py: ")
    (drift,) = [each for each in one.drift if each.package == "numpy"]
    assert (drift.pinned, drift.installed) == ("1.26.4", one.packages["numpy"])
    (site.folder / "numpy" / "__init__.py").write_text("edited again")
    (site.folder / "numpy" / "core.so").write_text("another size")
    other = captured()
    assert other.packages["numpy"].startswith("1.26.4 (2 files not as installed, ")
    assert len({keys.libraries_of("weight_tying", e.packages)["numpy"] for e in (one, other)}) == 2
    assert machine.capture(["numpy"]).packages == {"numpy": "1.26.4"}
