"""The bill of materials. Oracle: CycloneDX's own schema."""

import json
from importlib import metadata
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from repro.audit import sbom
from repro.audit.audit import Audit, Row
from repro.environment import machine, pins
from repro.environment.image import Image, Kernel

SHA = "ab" * 32


def audit(*versions: str) -> Audit:
    rows = tuple(
        Row(
            package=f"package-{place}",
            paper="1.0" if place == 0 else None,
            pinned=version,
            installed=version,
            state="as pinned",
            detail="",
            files=(),
        )
        for place, version in enumerate(versions)
    )
    absent = rows[0].model_copy(update={"package": "mamba-ssm", "installed": None})
    own = rows[0].model_copy(update={"package": "lyapunov-repro", "installed": "0.1.0"})
    return Audit(
        rows=(*rows, absent, own),
        problems=(),
        environment=machine.capture(["torch"]),
        floating=(),
        image=Image(
            schema_version=1,
            target="cpu",
            revision="abc",
            os_packages={"libc6:amd64": "2.36-9+deb12u7"},
            wheels={"package-0": SHA},
            kernels={"k.so": Kernel(sha256=SHA, architectures=("sm_80", "sm_90"), abi=None)},
            bundle={},
            probe={},
        ),
    )


@pytest.fixture(scope="module")
def bom() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sbom.cyclonedx(audit("2.2.1", "4.40.0")))
    return found


def test_every_installed_part_is_in_it_once_and_nothing_else(bom: dict[str, Any]) -> None:
    names = sorted(each["name"] for each in bom["components"])
    assert names == ["k.so", "libc6", "package-0", "package-1"]
    purls = {each["name"]: each.get("purl") for each in bom["components"]}
    assert purls["package-0"] == "pkg:pypi/package-0@2.2.1"
    assert purls["libc6"] == "pkg:deb/debian/libc6@2.36-9%2Bdeb12u7?arch=amd64"


def test_kernels_have_their_digest_and_packages_their_pins(bom: dict[str, Any]) -> None:
    parts = {each["name"]: each for each in bom["components"]}
    assert parts["k.so"]["hashes"] == [{"alg": "SHA-256", "content": SHA}]
    said = {each["name"]: each["value"] for each in parts["package-0"]["properties"]}
    assert said == {
        "repro:state": "as pinned",
        "repro:pinned": "2.2.1",
        "repro:paper": "1.0",
        "repro:record": SHA,
    }


def test_the_bundle_depends_on_all_of_it(bom: dict[str, Any]) -> None:
    (root,) = [each for each in bom["dependencies"] if each["ref"] == "lyapunov-repro"]
    assert sorted(root["dependsOn"]) == sorted(each["bom-ref"] for each in bom["components"])


def test_its_number_is_that_of_its_content(bom: dict[str, Any]) -> None:
    again = json.loads(sbom.cyclonedx(audit("2.2.1", "4.40.0")))
    assert again["serialNumber"] == bom["serialNumber"]
    changed = json.loads(sbom.cyclonedx(audit("2.2.2", "4.40.0")))
    assert changed["serialNumber"] != bom["serialNumber"]


def test_it_is_valid(bom: dict[str, Any]) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(bom)) is None
    assert validator.validate_str(json.dumps(bom | {"components": 1})) is not None


# -----------------------------------------------------------------------------
# What the lock and the packages say


def installed(*names: str) -> Audit:
    """An audit of packages that are installed here."""
    row = audit("1").rows[0]
    rows = (row.model_copy(update={"package": n, "installed": metadata.version(n)}) for n in names)
    return audit("1").model_copy(update={"rows": tuple(rows), "image": None})


def test_a_package_at_its_pin_has_the_digests_that_the_lock_allows() -> None:
    found = json.loads(sbom.cyclonedx(installed("numpy", "six")))
    lock = pins.read(pins.LOCK)
    for part in found["components"]:
        assert {each["alg"] for each in part["hashes"]} == {"SHA-256"}
        assert [each["content"] for each in part["hashes"]] == sorted(lock[part["name"]].hashes)
    off = installed("numpy").rows[0].model_copy(update={"installed": "1.0"})
    (part,) = json.loads(sbom.cyclonedx(audit("1").model_copy(update={"rows": (off,)})))[
        "components"
    ][-1:]
    assert part["name"] == "numpy"
    assert not {"hashes", "licenses"} & part.keys()  # of another version nobody here knows


@pytest.mark.parametrize(
    ("package", "licences"),
    [
        ("attrs", ["MIT"]),  # a License-Expression
        ("click", ["BSD-3-Clause"]),  # SPDX in License
        ("tqdm", ["MPL-2.0 AND MIT"]),  # an expression there
        ("transformers", ["Apache-2.0"]),  # a classifier alone is clear
        ("numpy", ["BSD License"]),  # the text of a licence, and a classifier that names none
        ("protobuf", ["3-Clause BSD License"]),  # a name alone
        ("python-dateutil", ["Apache-2.0", "Dual License"]),  # two classifiers
    ],
)
def test_a_package_has_the_licence_that_it_declares(package: str, licences: list[str]) -> None:
    text = sbom.cyclonedx(installed(package))
    (part,) = json.loads(text)["components"]
    said = [each.get("license", each) for each in part["licenses"]]
    assert [each.get("id") or each.get("name") or each["expression"] for each in said] == licences
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_every_pinned_package_has_digests_and_nearly_every_one_a_licence() -> None:
    names = [name for name in pins.read(pins.LOCK) if installed_here(name)]
    text = sbom.cyclonedx(installed(*names))
    parts = json.loads(text)["components"]
    assert len(parts) == len(names) > 100
    assert [each["name"] for each in parts if not each.get("hashes")] == []
    assert len([each["name"] for each in parts if not each.get("licenses")]) <= 1
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def installed_here(name: str) -> bool:
    try:
        return metadata.version(name) == pins.read(pins.LOCK)[name].version
    except metadata.PackageNotFoundError:
        return False
