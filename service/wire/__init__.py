"""What goes over HTTP, defined once for server and client: requests, answers and errors as pydantic types.

Requests are models that refuse unknown fields. Answers are frozen dataclasses, read by
:func:`~proofrank.service.wire.encoding.read_answer`, which leaves out the fields that it does not know: so an older
client reads the answers of a newer server. Nothing here needs torch, numpy or FastAPI.
"""

from proofrank.service.wire.comparison import (
    ChangedRanking,
    ComparedEvaluation,
    Comparison,
    Difference,
    GroupDifference,
    MacroDifference,
    RankingProtocol,
)
from proofrank.service.wire.encoding import answer_from_python, answer_to_json, read_answer
from proofrank.service.wire.jobs import (
    EXAMPLE_JOB_ID,
    JOB_STATES,
    UNFINISHED_STATES,
    Job,
    JobList,
    JobOptions,
    JobProgress,
    JobRanking,
    JobRequest,
    JobResults,
    JobState,
)
from proofrank.service.wire.operation import Health, Info, Readiness
from proofrank.service.wire.policies import (
    MAX_POLICY_NAME_LENGTH,
    POLICY_NAME_PATTERN,
    PolicyList,
    StoredPolicy,
)
from proofrank.service.wire.problems import MAX_ERRORS, MAX_SHOWN, FieldError, ProblemBody, shortened
from proofrank.service.wire.rank_answer import (
    CandidateScore,
    Identity,
    Metrics,
    Proof,
    ProofStep,
    Pruning,
    QueryResult,
    Ranking,
    RankResponse,
    Ranks,
    Report,
    Rule,
    Timing,
)
from proofrank.service.wire.rank_request import (
    NamedTriple,
    RankOptions,
    RankQuery,
    RankRequest,
    SideOption,
    Ties,
)
from proofrank.service.wire.run_steps import (
    LABEL_NAME_PATTERN,
    MAX_LABEL_LENGTH,
    MAX_LABELS,
    MAX_STEP,
    RunStep,
)
from proofrank.service.wire.runs import Run, RunList, RunSummary, StepJob, StepOfRun
from proofrank.service.wire.validation import field_error, first_error_of_answer, model_within

__all__ = [
    "EXAMPLE_JOB_ID",
    "JOB_STATES",
    "LABEL_NAME_PATTERN",
    "MAX_ERRORS",
    "MAX_LABELS",
    "MAX_LABEL_LENGTH",
    "MAX_POLICY_NAME_LENGTH",
    "MAX_SHOWN",
    "MAX_STEP",
    "POLICY_NAME_PATTERN",
    "UNFINISHED_STATES",
    "CandidateScore",
    "ChangedRanking",
    "ComparedEvaluation",
    "Comparison",
    "Difference",
    "FieldError",
    "GroupDifference",
    "Health",
    "Identity",
    "Info",
    "Job",
    "JobList",
    "JobOptions",
    "JobProgress",
    "JobRanking",
    "JobRequest",
    "JobResults",
    "JobState",
    "MacroDifference",
    "Metrics",
    "NamedTriple",
    "PolicyList",
    "ProblemBody",
    "Proof",
    "ProofStep",
    "Pruning",
    "QueryResult",
    "RankOptions",
    "RankQuery",
    "RankRequest",
    "RankResponse",
    "Ranking",
    "RankingProtocol",
    "Ranks",
    "Readiness",
    "Report",
    "Rule",
    "Run",
    "RunList",
    "RunStep",
    "RunSummary",
    "SideOption",
    "StepJob",
    "StepOfRun",
    "StoredPolicy",
    "Ties",
    "Timing",
    "answer_from_python",
    "answer_to_json",
    "field_error",
    "first_error_of_answer",
    "model_within",
    "read_answer",
    "shortened",
]
