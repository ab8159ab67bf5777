"""A client of the service: ranks, whole test sets, policies. Needs httpx and pydantic, and neither torch nor FastAPI.

    from proofrank.service.client import Client

    with Client("http://127.0.0.1:8000") as client:
        client.wait_until_ready()
        result = client.rank([("albania", "locatedInCR", "europe")], side="tail", corruptions="all")
        print(result.metrics.mrr, result.policy.sha256)

``AsyncClient`` has the same methods, to be awaited. An operation is written once, as a generator of what to send and
how long to pause (:mod:`proofrank.service.client.operations`); the two clients differ only in how they do that.
"""

from proofrank.service.client.clients import AsyncClient, Client
from proofrank.service.client.connection import API_KEY_VARIABLE, DEFAULT_URL
from proofrank.service.client.errors import (
    AccessError,
    AnswerError,
    ClientError,
    ConflictError,
    DeadlineError,
    InvalidRequestError,
    JobError,
    MissingLibraryError,
    NotFoundError,
    NotReadyError,
    ServerError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
)
from proofrank.service.client.requests import Query
from proofrank.service.client.results import JobResult, RankResult
from proofrank.service.client.retries import Retries
from proofrank.service.wire import (
    CandidateScore,
    ChangedRanking,
    Comparison,
    Difference,
    ExplainedCandidate,
    ExplainedStep,
    FieldError,
    GroupDifference,
    Identity,
    Info,
    Job,
    JobOptions,
    JobProgress,
    JobRanking,
    MetricInterval,
    Metrics,
    PolicyList,
    Proof,
    ProofStep,
    Pruning,
    QueryResult,
    RankExplanation,
    Ranking,
    RankingGroups,
    Ranks,
    Report,
    Rule,
    Run,
    RunSummary,
    StepAlternative,
    StepJob,
    StepOfRun,
    StoredPolicy,
    Timing,
)

__all__ = [
    "API_KEY_VARIABLE",
    "DEFAULT_URL",
    "AccessError",
    "AnswerError",
    "AsyncClient",
    "CandidateScore",
    "ChangedRanking",
    "Client",
    "ClientError",
    "Comparison",
    "ConflictError",
    "DeadlineError",
    "Difference",
    "ExplainedCandidate",
    "ExplainedStep",
    "FieldError",
    "GroupDifference",
    "Identity",
    "Info",
    "InvalidRequestError",
    "Job",
    "JobError",
    "JobOptions",
    "JobProgress",
    "JobRanking",
    "JobResult",
    "MetricInterval",
    "Metrics",
    "MissingLibraryError",
    "NotFoundError",
    "NotReadyError",
    "PolicyList",
    "Proof",
    "ProofStep",
    "Pruning",
    "Query",
    "QueryResult",
    "RankExplanation",
    "RankResult",
    "Ranking",
    "RankingGroups",
    "Ranks",
    "Report",
    "Retries",
    "Rule",
    "Run",
    "RunSummary",
    "ServerError",
    "StepAlternative",
    "StepJob",
    "StepOfRun",
    "StoredPolicy",
    "Timing",
    "UnavailableError",
    "UnexpectedAnswerError",
    "UnreachableError",
]
