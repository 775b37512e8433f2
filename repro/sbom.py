"""An audit as a bill of materials: CycloneDX 1.6, by its maintainers' library.

Every installed distribution, in an image also every OS package and CUDA kernel. The same audit
gives the same file but for the time that it was made: its serial number is drawn from its content.

Reference: cyclonedx-python-lib 7.5.0; package URLs (purl) of types pypi and deb.
Not covered: licences, which most of the pinned packages do not state in a way that can be read.
"""

import uuid
from collections.abc import Iterator

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from repro import digests
from repro.audit import BUNDLE, Audit
from repro.audit_image import Image


def cyclonedx(audit: Audit) -> str:
    """The bill of materials as JSON."""
    bom = Bom(serial_number=uuid.UUID(digests.of_data(audit)[:32]))
    root = Component(name=BUNDLE, type=ComponentType.APPLICATION, bom_ref=BUNDLE)
    bom.metadata.component = root
    parts = [*_packages(audit), *(_image(audit.image) if audit.image else ())]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(root, parts)
    return JsonV1Dot6(bom).output_as_string(indent=1)


def _packages(audit: Audit) -> Iterator[Component]:
    """Every installed distribution but the bundle's own."""
    wheels = audit.image.wheels if audit.image else {}
    for row in audit.rows:
        if row.installed is None or row.package == BUNDLE:
            continue
        said = {"state": row.state, "pinned": row.pinned, "paper": row.paper}
        said["record"] = wheels.get(row.package)
        yield Component(
            name=row.package,
            version=row.installed,
            type=ComponentType.LIBRARY,
            bom_ref=f"pypi:{row.package}",
            purl=PackageURL("pypi", name=row.package, version=row.installed),
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
