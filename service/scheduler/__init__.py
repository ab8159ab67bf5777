"""Continuous batching: the candidates of all requests share the evaluator's lanes, fairly by request."""

from proofrank.service.scheduler.scheduler import Lanes, Scheduler, Snapshot
from proofrank.service.scheduler.tasks import DeadlineError, FaultError, Finished, StoppedError, Task

__all__ = [
    "DeadlineError",
    "FaultError",
    "Finished",
    "Lanes",
    "Scheduler",
    "Snapshot",
    "StoppedError",
    "Task",
]
