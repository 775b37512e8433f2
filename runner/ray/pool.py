"""Jobs handed to the processes of a Ray cluster, and their records brought home.

One thread here serves one process there, from its start to its end: it sends what a job reads,
waits for the job, fetches the record. A process that is lost, with its node or without, is
replaced, and its job goes to whoever is free, three times at most. A job that cannot run is tried
once.

Not covered: which cluster (`engine`).
"""

import queue
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from repro.planning.plan import PlannedJob
from runner.local import Work, longest_first, needs_own_process
from runner.ray.remote import LostProcessError, RemoteProcess, UnsuitableProcessError
from runner.ray.worker import JobResult, Latest

TRIES = 3
"""Losses of its process after which a job is given up."""
PATIENCE = 600
"""Seconds without a single process, after which a run gives up."""
_POLL = 0.3
"""Seconds between two looks."""


@dataclass(frozen=True)
class JobEnd:
    """A job ended, one way or the other."""

    key: str
    outcome: JobResult


class JobPool:
    """Some jobs on the processes of a cluster, and those that come while they run."""

    def __init__(
        self,
        start: Callable[[], RemoteProcess],
        limit: int,
        work: Work,
        *,
        ships: bool = False,
    ) -> None:
        """Prepare.

        `start` starts a process and may have to wait for a node; there are at most `limit` at once.
        Where it `ships`, nodes see another disk than this process.
        """
        self.start, self.limit, self.ships = start, limit, ships
        self.work, self.store, self.machine = work, work.store, work.machine
        self.jobs: dict[str, PlannedJob] = {}
        self._queue: list[str] = []
        self._events: queue.Queue[JobEnd | BaseException] = queue.Queue()
        self._threads: list[threading.Thread] = []
        self._remotes: set[RemoteProcess] = set()
        self._unfit: dict[str, None] = {}
        self._fit: set[RemoteProcess] = set()
        self._losses = Counter[str]()
        self._sending: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Condition()
        self._over = False

    # -------------------------------------------------------------------------
    # The main thread

    def run(self, news: Callable[[], Latest]) -> dict[str, str]:
        """Run jobs; as `runner.local.execute`."""
        failed, left = dict[str, str](), set[str]()
        lively = time.monotonic()
        self._add(self.work.jobs, left)
        try:
            while left:
                for key, said in news().items():
                    if key in left:
                        self.work.watch.advance(self.jobs[key], *said)
                lively = time.monotonic() if self._fit else lively
                reason = self._why_stuck(time.monotonic() - lively)
                event = self._next()
                if isinstance(event, BaseException):
                    raise event  # anything unexpected is a bug and ends the run
                if event:
                    left.discard(event.key)
                    self.work.watch.finish(self.jobs[event.key])
                    if not event.outcome.reason:
                        self._add(self.work.then(event.key), left)
                        continue
                    failed[event.key] = event.outcome.reason
                    reason = event.outcome.reason if event.outcome.is_last else ""
                if reason:
                    taken = self._take_back() if event else left.copy()
                    failed |= dict.fromkeys(taken, reason)
                    left -= set(taken)
        finally:
            self._end()
        return failed

    def _add(self, jobs: Mapping[str, PlannedJob], left: set[str]) -> None:
        left.update(jobs)
        with self._lock:
            self.jobs |= jobs
            waiting = {key: self.jobs[key] for key in (*self._queue, *jobs)}
            self._queue = [key for key, _ in sorted(waiting.items(), key=longest_first)]
            self._lock.notify_all()
        for _ in range(min(self.limit, len(left)) - len(self._threads)):
            self._threads.append(threading.Thread(target=self._serve, daemon=True))
            self._threads[-1].start()

    def _next(self) -> JobEnd | BaseException | None:
        try:
            return self._events.get(timeout=_POLL)
        except queue.Empty:
            return None

    def _why_stuck(self, idle: float) -> str:
        """Why no job can run any more; empty while one may."""
        if not any(thread.is_alive() for thread in self._threads) and self._events.empty():
            return "no process of the cluster can run it: " + "; ".join(self._unfit)
        if idle > PATIENCE:
            return f"no node of the cluster had room for it in {PATIENCE / 60:.0f} minutes"
        return ""

    def _take_back(self) -> list[str]:
        with self._lock:
            taken, self._queue = self._queue, []
        return taken

    def _end(self) -> None:
        with self._lock:
            self._over = True
            self._lock.notify_all()
            remotes = list(self._remotes)
        for remote in remotes:
            remote.end()
        for thread in self._threads:
            thread.join(5)

    # -------------------------------------------------------------------------
    # A thread for each process

    def _serve(self) -> None:
        """Serve one process after another until there is no more to do."""
        lost = 0
        while not self._over and lost < TRIES:
            remote = self.start()
            with self._lock:
                self._remotes.add(remote)
            try:
                node = remote.wait_and_check(self.machine)
                lost = 0
                self._serve_one(remote, node)
            except LostProcessError as error:
                lost += 1
                if lost == TRIES:
                    self._unfit[f"a process was lost {TRIES} times as it started: {error}"] = None
            except UnsuitableProcessError as error:
                self._unfit[str(error)] = None
                return
            except BaseException as error:  # noqa: BLE001  # the main thread raises it
                self._events.put(error)
                return
            finally:
                with self._lock:
                    self._remotes.discard(remote)
                    self._fit.discard(remote)
                remote.end()

    def _serve_one(self, remote: RemoteProcess, node: str) -> None:
        """Hand one process its jobs, until it is no more use."""
        with self._lock:
            self._fit.add(remote)
        while key := self._take(remote):
            planned = self.jobs[key]
            remote.used, remote.spent = True, needs_own_process(planned)
            try:
                if self.ships:
                    outcome = remote.run_on_own_disk(key, planned, self.store, self._sending[node])
                else:
                    outcome = remote.run_on_shared_disk(key, planned)
            except LostProcessError as error:
                self._process_lost(key, str(error))
                raise
            except UnsuitableProcessError:
                self._give_back(key)
                raise
            self._events.put(JobEnd(key, outcome))

    def _take(self, remote: RemoteProcess) -> str:
        """The next job; empty if there will be none, or none for this process."""
        with self._lock:
            while not self._queue and not self._over and not remote.spent:
                self._lock.wait(_POLL)
            if (
                self._over
                or remote.spent
                or (remote.used and needs_own_process(self.jobs[self._queue[0]]))
            ):
                return ""
            return self._queue.pop(0)

    def _process_lost(self, key: str, why: str) -> None:
        self._losses[key] += 1
        if self._losses[key] < TRIES:
            self._give_back(key)
        else:
            reason = f"its process was lost {TRIES} times (node, preemption or memory): {why}"
            self._events.put(JobEnd(key, JobResult(reason, is_last=False)))

    def _give_back(self, key: str) -> None:
        with self._lock:
            self._queue.insert(0, key)
            self._lock.notify_all()
