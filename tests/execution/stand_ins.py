"""An executor that trains nothing: it says how jobs end, and writes records as if they had been trained."""

from kdbench.execution.executor import Ended
from tests.gate.support import record


class StandIn:
    """As many jobs at a time as there are `workers`; `script(job)` says how it ends: "done", "failed" or "lost"."""

    def __init__(self, store, workers=1, script=lambda job: "done"):
        self._store = store
        self._workers = workers
        self._script = script
        self._running = []
        self.begun = []
        self.stopped = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def expect(self, jobs):
        pass

    def has_room(self, job):
        return len(self._running) < self._workers

    def begin(self, job):
        self.begun.append(job)
        self._running.append(job)

    def hear(self):
        """The oldest job ends."""
        if not self._running:
            return
        job = self._running.pop(0)
        how = self._script(job)
        if self.stopped or how == "lost":
            yield Ended(job, lost=not self.stopped)
            return
        records = [record(run, 50.0, how) for run in job.runs]
        for one in records:
            self._store.write(one)
        yield Ended.of(job, records)

    def stop(self):
        self.stopped = True
