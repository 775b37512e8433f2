"""What a page is made from, made up: any number of findings and models, and hostile names."""

from collections.abc import Sequence
from typing import Any

import made_up_records as records

from repro.coverage import Coverage
from repro.environment.machine import Drift
from repro.report.report_data import (
    Curve,
    Envelope,
    Machine,
    PaperShown,
    PrecisionPair,
    PrecisionSide,
    ReportData,
    Run,
    Timing,
    TuningSummary,
)
from repro.report.rows import OUTCOMES
from repro.schema.causes import Cause, cause
from repro.schema.claim_base import Place
from repro.schema.finding import Finding, Outcome, Verdict
from repro.schema.manifest import Manifest

HOSTILE = "<script>alert(1)</script>\"'&amp;$x^{2}$<b>\x1b[2J\u202e"
LONG = "/".join(["results-of-a-very-long-path-that-nobody-would-type"] * 8)
SECTIONS = ("Abstract; 1", "5.1, after Figure 1", "Appendix D", "3.1", "v3, abstract")


def as_causes(texts: str | Sequence[str | Cause]) -> tuple[Cause, ...]:
    """Causes; a text is one that says it."""
    every = (texts,) if isinstance(texts, str) else texts
    return tuple(cause("no-record", why=e) if isinstance(e, str) else e for e in every)


def finding(number: int = 0, outcome: Outcome = "reproduced", **changes: Any) -> Finding:
    """One finding, of any claim."""
    fields: dict[str, Any] = {
        "claim": f"C{number}",
        "kind": "cell",
        "statement": f"statement {number}",
        "place": Place(section=SECTIONS[number % len(SECTIONS)]),
        "basis": "measured",
        "outcome": outcome,
        "published": "0.20",
        "measured": "0.25 (5 settings: 0.20 to 0.30)",
        "margin": "± 0.1",
        "quote": "the printed sentence",
        "causes": "mean off by +0.05",
        "working": ("float32 accuracy 25.0%", cause("no-control")),
        "records": ("a" * 64,),
    }
    fields |= changes
    fields |= {name: as_causes(fields[name]) for name in ("causes", "working")}
    return Finding(**fields)


def verdict(findings: Sequence[Finding], manifest: str = "table9", **changes: Any) -> Verdict:
    """The findings as one manifest's."""
    fields: dict[str, Any] = {
        "manifest": manifest,
        "title": "Made up",
        "tier": "full",
        "findings": tuple(findings),
        "notes": (),
    }
    return Verdict(**{**fields, **changes})


def run(findings: Sequence[Finding], folder: str = "results", **changes: Any) -> Run:
    """The findings as a run."""
    return Run(folder, "2026-01-01T00:00:00+00:00", verdict(findings, **changes), 3, 4)


def pair(model: str = "mamba-1") -> PrecisionPair:
    """Flips and letters of one model."""
    reference = PrecisionSide("float32", (10, 20, 30, 40), 0)
    return PrecisionPair(
        model,
        "batch-4",
        100,
        3,
        2,
        7,
        (25,) * 4,
        reference,
        PrecisionSide("float16", (11, 19, 30, 40), 2),
    )


def machine(hardware: str = "NVIDIA A10G") -> Machine:
    """Where records were made, with a drift."""
    return Machine(
        hardware,
        "3.11.7",
        "Linux",
        12,
        (Drift(package="torch", pinned="2.2.1", installed="2.3.0"),),
    )


def envelope(what: str = "mamba-euler, random layers") -> Envelope:
    """Two modes and a control."""

    def curve(mode: str, *, control: bool) -> Curve:
        middle = tuple(2.0 ** (step if control else -step) for step in range(6))
        low, high = (tuple(factor * each for each in middle) for factor in (0.5, 2.0))
        return Curve(mode, middle, low, high, (-0.8, -0.7, -0.6), 10, 0.99, control)

    curves = (
        curve("latent-once", control=False),
        curve("input-every", control=False),
        curve("control, latent-once", control=True),
    )
    return Envelope(what, 10, 1000, tuple(map(float, range(6))), curves, "b" * 64)


def seen(manifests: Sequence[Manifest] = (), **changes: Any) -> ReportData:
    """A page's worth; nothing was run unless `changes` say so."""
    fields: dict[str, Any] = {
        "paper": PaperShown("a made-up paper", url="https://example.org/abs/1"),
        "manifests": tuple(manifests) or (records.manifest(jobs=[]),),
        "page": (),
        "start": "table9",
        "coverage": Coverage(sections=(), reasons={}, dangling=(), unbound=()),
        "undecidable": {},
    }
    return ReportData(**{**fields, **changes})


def everything(findings: int = 20, models: int = 3, name: str = "mamba") -> ReportData:
    """All parts of a page, with that many findings and models, each named after `name`."""
    many = [finding(number, OUTCOMES[number % len(OUTCOMES)]) for number in range(findings)]
    names = [f"{name}-{number}" for number in range(models)]
    return seen(
        runs=(run(many),),
        machines=(machine(),),
        pairs=tuple(pair(each) for each in names),
        tunings=tuple(
            TuningSummary(each, "lora-all", "float32", "kernels", 8, 4, ("layers.*.x_proj (4)",))
            for each in names
        ),
        timings=tuple(Timing(f"{each} full.float32", 24.0, (1.0, 2.0, 3.0)) for each in names),
        envelopes=(envelope(),),
    )
