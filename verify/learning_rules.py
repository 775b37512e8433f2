"""Claims that adapters learn, decided from what tuning jobs saw of each trainable tensor.

A gradient is a matter of code: where base weights are handed to a kernel, no adapter of theirs gets
one, whatever the data. So a single run settles it, for the code that ran.
"""

from repro.finding import Outcome
from repro.tuned_claims import LearnsClaim
from verify import tuning_records
from verify.decided import Decided, Judged
from verify.errors import InvalidError, NotRunError
from verify.evidence import Evidence, Loaded


def learns(claim: LearnsClaim, evidence: Evidence) -> Judged:
    """Every adapter of the layer got a gradient and moved; or none did."""
    loaded = [evidence.get(job) for job in claim.jobs]
    arrived = moved = total = 0
    for each in loaded:
        taken = each.record.path.get("mamba_path")
        if taken != claim.path:
            message = f"{each.slot.id} ran on the path {taken}, the claim is about {claim.path}"
            raise NotRunError(message)
        rows = _adapters(each, claim.layer)
        total += len(rows)
        arrived += int(each.arrays["gradient_arrived"][rows].sum())
        moved += int(each.arrays["moved"][rows].sum())
    reason = (
        f"of {total} adapter matrices of {claim.layer}, {arrived} got a gradient and {moved} "
        f"moved, on the path {claim.path}"
    )
    outcome = _outcome(arrived, moved, total)
    decided = Decided(outcome, "all learn", f"{arrived} of {total} learn", "exact", reason)
    return Judged(decided, "", loaded)


def _outcome(arrived: int, moved: int, total: int) -> Outcome:
    if arrived == moved == total:
        return "reproduced"
    return "inconclusive" if arrived or moved else "contradicted"


def _adapters(loaded: Loaded, layer: str) -> list[int]:
    """Places of a layer's adapters among the trainable tensors."""
    names = tuning_records.names_of(loaded.record)
    rows = [place for place, name in enumerate(names) if f".{layer}.lora_" in name]
    if not rows:
        message = f"{loaded.slot.id} adapts no layer {layer}"
        raise InvalidError(message)
    return rows
