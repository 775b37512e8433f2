"""Bills of materials of the environments that measured, from what their records say.

One for each different set of Python and packages, by `repro.audit.sbom`. It is dated by the newest
record made there, so that equal records give equal bytes.

Not covered: packages of the operating system and CUDA kernels, which no record lists; in the image
that measured, `repro audit --format cyclonedx` does.
"""

import json
from collections.abc import Sequence

from repro.audit import sbom
from repro.audit.audit import Audit, Row
from repro.environment import pins
from repro.environment.machine import Environment
from repro.packet.layout import Contents, ended, environments
from repro.store.record import Record


def boms(contents: Contents) -> dict[str, bytes]:
    """Name in the packet to a bill of materials (CycloneDX 1.6, JSON)."""
    return {name: _bom(made).encode() for name, made in environments(contents).values()}


def _bom(made: Sequence[Record]) -> str:
    environment = made[0].environment
    audit = Audit(rows=_rows(environment), problems=(), environment=environment, floating=())
    found = json.loads(sbom.cyclonedx(audit))
    newest = max(ended(record) for record in made)
    found["metadata"]["timestamp"] = newest.isoformat(timespec="seconds")
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _rows(environment: Environment) -> tuple[Row, ...]:
    """The packages of an environment as an audit shows them; nobody looked into their files."""
    pinned, paper = pins.versions(), pins.paper()
    drifted = {each.package: each.pinned for each in environment.drift}
    return tuple(
        Row(
            package=name,
            paper=paper[name].printed if name in paper else None,
            pinned=drifted.get(name, pinned.get(name)),
            installed=version,
            state="wrong version" if name in drifted else "as pinned",
            detail="",
            files=(),
        )
        for name, version in sorted(environment.packages.items())
    )
