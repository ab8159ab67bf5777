"""Jobs: whole splits or long lists of triples, ranked in the background. Each chunk is stored; a job survives a
restart.

``submission`` checks and stores what a client asks for (``schemas``). ``runner`` takes one job after the other from the
``store`` and starts its ``run``. The run draws ``chunks``, of a ``chunk_size`` that suits the evaluator, ranks them and
stores them. ``updates`` tells watchers of each change; ``results`` reads the rankings back.
"""

from __future__ import annotations

from dataclasses import dataclass

from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.jobs.retry_until_ready import RetryUntilReady
from proofrank.service.jobs.run import JobContext
from proofrank.service.jobs.runner import JobRunner, change_listener
from proofrank.service.jobs.store import JobStore, policies_in_use
from proofrank.service.jobs.updates import JobUpdates
from proofrank.service.policies import PolicyRegistry
from proofrank.service.settings.settings import Settings
from proofrank.service.storage.database import Database
from proofrank.service.telemetry.metrics import ServiceMetrics

_RETRY_SECONDS = 5.0

__all__ = ["Jobs", "make_jobs"]


@dataclass(frozen=True)
class Jobs:
    """The parts that the routes use.

    Attributes:
        store: stores the jobs.
        updates: tells watchers of changes.
        patience: retries what may succeed later, and knows what a job waits for.
        runner: runs the jobs.
    """

    store: JobStore
    updates: JobUpdates
    patience: RetryUntilReady
    runner: JobRunner


def make_jobs(
    settings: Settings,
    metrics: ServiceMetrics,
    host: EvaluatorHost,
    database: Database,
    policies: PolicyRegistry,
    *,
    retry_seconds: float = _RETRY_SECONDS,
) -> Jobs:
    """Makes the jobs of a server; nothing runs before the runner is started.

    Args:
        settings: settings of the service.
        metrics: metrics of the service.
        host: ranks the jobs' queries.
        database: holds the jobs.
        policies: holds the policies that unfinished jobs need.
        retry_seconds: time after which a failed write is tried again.
    """
    updates = JobUpdates()
    store = JobStore(database, change_listener(updates, metrics))
    patience = RetryUntilReady(updates, retry_seconds)
    policies.store.add_user(policies_in_use)
    runner = JobRunner(JobContext(settings, host, policies, store, patience, metrics))
    return Jobs(store, updates, patience, runner)
