"""What ``POST /rank`` and ``GET /info`` take and give, as OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

MAX_NAME_LENGTH = 1024

Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH)]
SideOption = Literal["head", "tail", "both"]
Ties = Literal["realistic", "optimistic", "pessimistic", "random"]


class NamedTriple(BaseModel):
    """A triple to rank against corrupted copies of itself."""

    model_config = ConfigDict(extra="forbid", strict=True)

    head: Name = Field(description="name of the first constant")
    relation: Name = Field(description="name of the predicate")
    tail: Name = Field(description="name of the second constant")
    side: SideOption | None = Field(
        None, description="which constant is replaced; that of the request if unset"
    )


class RankQuery(NamedTriple):
    """A triple to rank against corrupted copies of itself, perhaps against candidates of the caller's own."""

    candidates: list[Name] | None = Field(
        None,
        min_length=1,
        fail_fast=True,
        description="constants to put in the place of the side's constant, instead of drawn corruptions; the "
        "query's own constant may be among them and is not counted twice; side must be head or tail",
    )


class RankOptions(BaseModel):
    """How to rank queries."""

    model_config = ConfigDict(extra="forbid", strict=True)

    side: SideOption = Field("both", description="which constant is replaced, for queries that do not say")
    corruptions: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        50, description="how many corruptions per query and side; all that there are for 'all'"
    )
    filtered: bool = Field(True, description="leave out corruptions that are known triples")
    seed: int = Field(0, ge=0, lt=2**63, description="of the draw of corruptions and of random ties")
    ties: Ties = Field("realistic", description="which rank counts where scores are equal")

    @field_validator("corruptions", mode="before")
    @classmethod
    def _number_or_all(cls, value: Any) -> Any:
        """One message for both forms, in place of one for each."""
        if value == "all" or (type(value) is int and value >= 0):
            return value
        raise PydanticCustomError("corruptions", "expected a whole number, 0 or more, or 'all'")


class RankRequest(RankOptions):
    """Queries and how to rank them."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "queries": [
                        {"head": "france", "relation": "locatedInCR", "tail": "europe", "side": "tail"}
                    ],
                    "corruptions": "all",
                    "return_proof": True,
                }
            ]
        },
    )

    # A body may hold millions of bad queries; finding, and wording, what is wrong with each takes a minute.
    queries: list[RankQuery] = Field(min_length=1, fail_fast=True, description="the triples to rank")
    deadline_ms: int | None = Field(
        None,
        ge=1,
        description="after so many milliseconds the answer is 504; the server's maximum if that is less",
    )
    return_candidates: bool = Field(False, description="answer with every candidate's score")
    return_proof: bool = Field(False, description="answer with the positive's proof")


def fields_beside(location: Sequence[str | int], model: type[BaseModel]) -> list[str]:
    """The fields that may stand where an error's location, in a body of ``model``, points to."""
    if len(location) > 1 and isinstance(location[0], str) and location[0] in model.model_fields:
        inner = _model_within(model.model_fields[location[0]].annotation)
        return list(inner.model_fields) if inner is not None else []
    return list(model.model_fields)


def _model_within(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as ``list[Model] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_within, get_args(annotation))), None)


class CandidateScore(BaseModel):
    """One candidate and what came of it."""

    head: str
    relation: str
    tail: str
    score: float = Field(description="log-probability, less 100 if not proved")
    proved: bool
    steps: int


class Proof(BaseModel):
    """The trajectory of a positive."""

    text: str = Field(description="the proof as a tree, a goal a line")
    steps: list[ProofStepView] = Field(description="the steps of the policy")


class RuleView(BaseModel):
    """A rule of the dataset."""

    name: str = Field(description="its name in the file, or rule and the number of its line")
    weight: float = Field(
        description="its weight or confidence in the file, 1 without one; no part of scores"
    )


class ProofStepView(BaseModel):
    """One step: the goals, and the state that the policy chose."""

    state: list[str] = Field(description="goals before the step, the first of which is resolved")
    num_actions: int = Field(description="how many states could be chosen")
    chosen: list[str] = Field(description="goals after it; True, False or Endf at an end")
    log_probability: float
    rule: RuleView | None = Field(None, description="rule that resolved the goal; null for a fact or an end")


class RanksView(BaseModel):
    """The four ranks of a positive; they differ where scores are equal."""

    optimistic: float
    realistic: float
    pessimistic: float
    random: float


class Ranking(BaseModel):
    """One query on one side."""

    side: Literal["head", "tail"]
    rank: float = Field(description="under the request's ties")
    reciprocal_rank: float
    ranks: RanksView
    score: float = Field(description="of the positive: log-probability, less 100 if not proved")
    log_probability: float
    proved: bool
    steps: int
    num_candidates: int = Field(description="ranked, the positive included")
    candidates: list[CandidateScore] | None = Field(None, description="the positive first, if asked for")
    proof: Proof | None = Field(None, description="of the positive, if asked for")


class QueryResult(BaseModel):
    """One query and its rankings."""

    head: str
    relation: str
    tail: str
    rankings: list[Ranking]


class MetricsView(BaseModel):
    """Aggregate metrics; ``docs/api.md`` defines each."""

    model_config = ConfigDict(populate_by_name=True)

    mrr: float
    hits_at_1: float = Field(alias="hits@1")
    hits_at_3: float = Field(alias="hits@3")
    hits_at_10: float = Field(alias="hits@10")
    mean_rank: float
    adjusted_mean_rank_index: float | None
    positives_proved: float
    corruptions_proved: float | None
    rankings: int
    queries: int
    candidates: int
    seconds: float


class ReportView(MetricsView):
    """Metrics overall, per side and per relation."""

    by_side: dict[str, MetricsView]
    by_relation: dict[str, MetricsView]


class Identity(BaseModel):
    """Which dataset or policy it was."""

    name: str
    sha256: str = Field(description="of its content")


class Timing(BaseModel):
    """Where the time went."""

    queue_seconds: float = Field(description="from acceptance to the start of the evaluation")
    first_result_seconds: float = Field(description="from acceptance to the first candidate that was done")
    execution_seconds: float = Field(description="from the start of the evaluation to its end")


class RankResponse(BaseModel):
    """The answer to ``POST /rank``."""

    request_id: str
    dataset: Identity
    policy: Identity
    engine: str
    metrics: ReportView
    timing: Timing
    queries: list[QueryResult] = Field(description="in the order of the request")


class Readiness(BaseModel):
    """Whether requests are taken, and what is going on if not."""

    ready: bool
    stage: str
    seconds: float = Field(description="since the stage began")


class InfoResponse(BaseModel):
    """What is being served."""

    version: str
    dataset: dict[str, Any]
    policy: dict[str, Any]
    prover: dict[str, Any]
    engine: str
    device: str
    torch: str
    limits: dict[str, int]
    startup_seconds: dict[str, float] = Field(description="per stage of the start")
