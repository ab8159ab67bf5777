"""What ``POST /why`` takes and answers: why a triple has its rank; ``docs/api.md`` defines each field."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from proofrank.service.wire.described import described
from proofrank.service.wire.jobs import EXAMPLE_JOB_ID
from proofrank.service.wire.policies import AskedPolicy, AskedSha256, check_asked_policy
from proofrank.service.wire.rank_answer import (
    SENT_IN_FULL,
    Head,
    Identity,
    RankedByProtocol,
    RankedPositive,
    Relation,
    Scoring,
    Tail,
)
from proofrank.service.wire.rank_request import (
    BeamScore,
    Name,
    ProtocolOptions,
    PruningLevel,
    ScoredOptions,
    ScoringKind,
)

MAX_EXPLAINED = 50
"""Number of candidates, beside the positive, that an answer explains at most: by ``first``, and by ``also``."""

MAX_ALTERNATIVES = 50
"""Number of actions of each step that an answer shows at most."""


class WhyRequest(ScoredOptions, ProtocolOptions):
    """A triple whose rank on one side is to be explained."""

    head: Name = Field(description="Name of the first constant.", examples=["albania"])
    relation: Name = Field(description="Name of the predicate.", examples=["locatedInCR"])
    tail: Name = Field(description="Name of the second constant.", examples=["europe"])
    side: Literal["head", "tail"] = Field(  # pyright: ignore[reportIncompatibleVariableOverride] - one ranking at a time
        "tail", description="Side whose constant is replaced.", examples=["tail"]
    )
    first: int = Field(
        5,
        ge=0,
        le=MAX_EXPLAINED,
        description="Number of corruptions that score higher or as much to explain, the highest score first.",
        examples=[5],
    )
    alternatives: int = Field(
        5,
        ge=1,
        le=MAX_ALTERNATIVES,
        description="Number of actions of each step to show at most, the one taken included.",
        examples=[5],
    )
    also: list[Name] = Field(
        default_factory=list,
        max_length=MAX_EXPLAINED,
        description="Constants whose corruptions are explained besides, wherever they rank.",
        examples=[["asia"]],
    )
    candidates: list[Name] | None = Field(
        None,
        min_length=1,
        fail_fast=True,
        description="Constants to put in the place of the side's constant, instead of drawn corruptions, as those of a "
        "query of `/rank`.",
        examples=[["asia", "africa", "oceania"]],
    )
    policy: AskedPolicy = Field(
        None, description="Name of the stored policy that ranks; by default the live one."
    )
    policy_sha256: AskedSha256 = None
    job: str | None = Field(
        None,
        max_length=64,
        description="Id of a job whose policy ranks, in place of `policy` and `policy_sha256`, by the job's `scoring` "
        "unless the request has one; the answer is 409 if the policy's content is no longer stored, or the embedding "
        "of the job's scores no longer served.",
        examples=[EXAMPLE_JOB_ID],
    )
    deadline_ms: int | None = Field(
        None,
        ge=1,
        description="Milliseconds after which the answer is 504; at most, and by default, the server's maximum.",
        examples=[60000],
    )

    @model_validator(mode="after")
    def _sha256_of_policy(self) -> WhyRequest:
        check_asked_policy(self.policy, self.policy_sha256)
        return self

    @model_validator(mode="after")
    def _one_policy(self) -> WhyRequest:
        if self.job is not None and self.policy is not None:
            raise PydanticCustomError("policy_of_job", "'job' and 'policy' both name a policy; expected one")
        return self

    def pruning_of(self, scoring_kind: ScoringKind) -> PruningLevel:
        """What may be left out with the scores by which it ranks; the answer is the same with each level."""
        return "none" if scoring_kind == "embedding" else self.pruning or "exact"


@dataclass(frozen=True)
class StepAlternative:
    """An action that the policy could take at a step."""

    how: Annotated[
        str,
        described(
            "What it resolves the first goal with, `rule NAME` or `fact`; else `gives up` or `nothing left to try`.",
            "rule r2",
        ),
    ]
    goals: Annotated[
        tuple[str, ...],
        described(
            "Goals after it; `True`, `False` or `Endf` at an end.", ["locatedInCR(montenegro, europe)"]
        ),
    ]
    probability: Annotated[float, described("Probability under the policy.", 0.695)]
    is_chosen: Annotated[bool, described("Whether the policy takes it.", True)]


@dataclass(frozen=True)
class ExplainedStep:
    """One step of a trajectory, and what else the policy could have done."""

    goals: Annotated[
        tuple[str, ...],
        described("Goals before it; the first of them is resolved.", ["locatedInCR(albania, europe)"]),
    ]
    alternatives: Annotated[
        tuple[StepAlternative, ...],
        described("The most probable actions, by falling probability; the chosen one is always among them."),
    ]
    num_left_out: Annotated[int, described("Number of actions that are not among them.", 3)]
    probability_left_out: Annotated[float, described("Sum of the probabilities of those.", 0.01)]
    log_probability: Annotated[float, described("Log-probability of the chosen action.", -0.3636)]


@dataclass(frozen=True, config=SENT_IN_FULL)
class ExplainedCandidate:
    """A candidate of a ranking, its score and the trajectory that the policy takes for it."""

    head: Head
    relation: Relation
    tail: Tail
    standing: Annotated[
        str,
        described(
            "How its score compares with the positive's: `higher`, `tied` or `lower`; or `positive`.",
            "higher",
        ),
    ]
    score: Annotated[
        float,
        described(
            "Score by which it is ranked; with scoring `proof`, the log-probability of the trajectory, less 100 if it "
            "is no proof.",
            -1.4538,
        ),
    ]
    log_probability: Annotated[
        float,
        described("Log-probability of the trajectory; with a `beam`, of its proofs together.", -1.4538),
    ]
    proved: Annotated[bool, described("Whether the policy proved the candidate.", True)]
    steps: Annotated[tuple[ExplainedStep, ...], described("Steps of the policy, in order.")]
    proof: Annotated[
        str,
        described(
            "The proof as a tree, a goal a line; empty where nothing is proved.",
            "locatedInCR(albania, europe)  [rule r2]  p=0.695\n…",
        ),
    ]
    choices: Annotated[
        str,
        described(
            "The steps as text, a line for each alternative.", "step 1: locatedInCR(albania, europe)\n…"
        ),
    ]
    proofs: Annotated[
        tuple[str, ...],
        described(
            "With a `beam`, every proof that the candidate has in it, each as `proof`, the best first; empty without.",
            ["locatedInCR(albania, europe)  [rule r2]  p=0.695\n…"],
        ),
    ] = ()
    embedding_score: Annotated[
        float | None, described("The embedding's score; null with scoring `proof`.", 3.25)
    ] = None
    embedding_part: Annotated[
        float | None,
        described(
            "The embedding's part of a `hybrid` score: `weight` times k; null with other scorings.", -0.038
        ),
    ] = None
    proof_part: Annotated[
        float | None,
        described(
            "What the proof adds to a `hybrid` score, or the failure takes away: the two parts sum up to `score`; null "
            "with other scorings.",
            -1.4538,
        ),
    ] = None


@dataclass(frozen=True, config=SENT_IN_FULL)
class RankExplanation:
    """The answer to ``POST /why``."""

    request_id: Annotated[
        str, described("Id of the request, as in the header `X-Request-ID` and the server's log.", "9f2c41d0")
    ]
    dataset: Annotated[Identity, described("Dataset in which the triple was ranked.")]
    policy: Annotated[Identity, described("Policy that ranked it.")]
    engine: Annotated[str, described("Engine that ranked it.", "eager")]
    ranking: Annotated[RankedPositive, described("Ranks of the triple, as `POST /rank` answers them.")]
    num_higher: Annotated[int, described("Number of corruptions that score higher, shown or not.", 30)]
    num_tied: Annotated[int, described("Number of corruptions that score as much, shown or not.", 0)]
    positive: Annotated[ExplainedCandidate, described("The triple itself.")]
    ahead: Annotated[
        tuple[ExplainedCandidate, ...],
        described(
            "The first of the corruptions that score higher, the highest score first, and after all of these, of those "
            "that score as much."
        ),
    ]
    also: Annotated[tuple[ExplainedCandidate, ...], described("The corruptions that were asked for besides.")]
    beam: Annotated[int, described("Maximum number of trajectories that a candidate had.", 8)] = 1
    beam_score: Annotated[BeamScore, described("How several proofs made a score.", "logsumexp")] = "max"
    scoring: Annotated[
        Scoring | None, described("What the scores are; missing from an older server: those of proofs.")
    ] = None
    protocol: RankedByProtocol = None
