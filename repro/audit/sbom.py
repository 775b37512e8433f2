"""An audit as a bill of materials: CycloneDX 1.6, by its maintainers' library.

Every installed distribution, in an image also every OS package and CUDA kernel. The same audit
gives the same file but for the time that it was made: its serial number is drawn from its content.

A package that is at its pin has the SHA-256 of every file that the lock lets an installer take; the
one that it took is not written down anywhere. Licences are those that the metadata of the package
declare, if it is installed here in that version: as SPDX where they say so, else by their name.

Reference: cyclonedx-python-lib 7.5.0; package URLs (purl) of types pypi and deb.
Not covered: licences of OS packages, and texts of licences.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence

from cyclonedx import spdx
from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from repro import fileio
from repro.audit.audit import BUNDLE, Audit
from repro.environment import installed, pins
from repro.environment.image import Image

_SPDX = {
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "The Unlicense (Unlicense)": "Unlicense",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "ISC License (ISCL)": "ISC",
}
"""Classifiers of the package index that stand for one licence of SPDX' list."""
_LONGEST_NAME = 64
"""Characters; a longer `License` is the text of one."""

Said = Mapping[str, tuple[Sequence[str], Sequence[str]]]
"""Digests and licences of each package."""


def cyclonedx(audit: Audit) -> str:
    """The bill of materials as JSON."""
    said = _declared_by_packages(audit)
    content = [audit.model_dump(mode="json"), said]
    bom = Bom(serial_number=uuid.UUID(fileio.digest_of_data(content)[:32]))
    root = Component(name=BUNDLE, type=ComponentType.APPLICATION, bom_ref=BUNDLE)
    bom.metadata.component = root
    parts = [*_packages(audit, said), *(_image(audit.image) if audit.image else ())]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(root, parts)
    return JsonV1Dot6(bom).output_as_string(indent=1)


def _declared_by_packages(audit: Audit) -> Said:
    """What the lock and the packages themselves say of every package of an audit."""
    locks = (pins.DEVELOPMENT, pins.KERNELS, pins.LOCK)
    lock = {name: pin for path in locks if path.is_file() for name, pin in pins.read(path).items()}
    found = {}
    for row in audit.rows:
        pin = lock.get(row.package)
        hashes = sorted(pin.hashes) if pin and pin.version == row.installed else ()
        found[row.package] = hashes, _licences(row.package, row.installed)
    return found


def _licences(package: str, version: str | None) -> list[str]:
    """What a package declares; several are as its classifiers list them, which do not say how."""
    declared = installed.distribution(package)
    if declared is None or declared.version != version:
        return []
    said = declared.metadata
    fields = [*said.get_all("License-Expression", []), *said.get_all("License", [])]
    name = next(iter(fields), "").strip()
    if name and (spdx.fixup_id(name) or spdx.is_compound_expression(name)):
        return [name]
    if len(name) > _LONGEST_NAME or "\n" in name or name == "UNKNOWN":
        name = ""  # the text of a licence, or nothing
    every = [each.split(" :: ") for each in said.get_all("Classifier", [])]
    known = [parts[-1] for parts in every if parts[0] == "License"]
    return sorted({_SPDX.get(each, name or each) for each in known} or {name} - {""})


def _packages(audit: Audit, said_of: Said) -> Iterator[Component]:
    """Every installed distribution but the bundle's own."""
    wheels = audit.image.wheels if audit.image else {}
    for row in audit.rows:
        if row.installed is None or row.package == BUNDLE:
            continue
        said = {"state": row.state, "pinned": row.pinned, "paper": row.paper}
        said["record"] = wheels.get(row.package)
        hashes, licences = said_of[row.package]
        make, declared = LicenseFactory().make_from_string, LicenseAcknowledgement.DECLARED
        yield Component(
            name=row.package,
            version=row.installed,
            type=ComponentType.LIBRARY,
            bom_ref=f"pypi:{row.package}",
            purl=PackageURL("pypi", name=row.package, version=row.installed),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in hashes],
            licenses=[make(each, license_acknowledgement=declared) for each in licences],
            properties=[
                Property(name=f"repro:{name}", value=value) for name, value in said.items() if value
            ],
        )


def _image(image: Image) -> Iterator[Component]:
    """OS packages and compiled kernels."""
    for place, version in image.os_packages.items():
        name, _, architecture = place.partition(":")
        qualifiers = {"arch": architecture}
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=f"deb:{place}",
            purl=PackageURL("deb", "debian", name, version, qualifiers),
        )
    for name, kernel in image.kernels.items():
        yield Component(
            name=name,
            type=ComponentType.FILE,
            bom_ref=f"kernel:{name}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=kernel.sha256)],
            properties=[Property(name="repro:architectures", value=" ".join(kernel.architectures))],
        )
