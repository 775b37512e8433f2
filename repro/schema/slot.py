"""One place in a manifest's plan, and the job that fills it."""

from dataclasses import dataclass

from repro.schema.jobs import Job


@dataclass(frozen=True)
class Slot:
    """One place in a manifest's plan, and the job that fills it."""

    id: str
    """`<checkpoint>.<dtype>.<setting>` for an evaluation, with the arm before the setting where it
    is not weight-cast; `repro.schema.tuned_slots` names those of tuning; else the group's id."""
    job: Job | None
    """None where this tier has nothing that can stand in."""
    reason: str
    """Why there is no job."""
    checkpoint: str | None
    """The paper's checkpoint; the job's own may be a stand-in."""
    dtype: str | None
    setting: str | None

    @property
    def name(self) -> str:
        """For people: the id, with the checkpoint that really runs."""
        runs = getattr(self.job, "checkpoint", None)
        if runs and self.checkpoint and runs != self.checkpoint:
            return self.id.replace(self.checkpoint, runs, 1)
        return self.id
