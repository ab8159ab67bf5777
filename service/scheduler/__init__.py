"""Continuous batching: the candidates of all requests share the evaluator's lanes, fairly by request."""

from proofrank.service.scheduler.scheduler import Lanes, Scheduler, Snapshot
from proofrank.service.scheduler.tasks import DeadlineError, FaultError, Finished, StoppedError, Task
from proofrank.service.scheduler.turns import Turns

__all__ = [
    "DeadlineError",
    "FaultError",
    "Finished",
    "Lanes",
    "Scheduler",
    "Snapshot",
    "StoppedError",
    "Task",
    "Turns",
]
