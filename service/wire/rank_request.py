"""What ``POST /rank`` takes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from proofrank.core.choices import HITS_AT, MOST_HITS_AT, MOST_K, MOST_WEIGHT, unused_pruning
from proofrank.core.errors import RankingError
from proofrank.core.protocol_rules import RankingRules, settled

MAX_NAME_LENGTH = 1024
MOST_RELATIONS = 1000
"""Maximum number of relations with weights of their own in a request."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH)]
SideOption = Literal["head", "tail", "both"]
# As an enum of one: openapi-python-client makes no client that reads a number beside a const.
AllCorruptions = Annotated[Literal["all"], WithJsonSchema({"type": "string", "enum": ["all"]})]
Ties = Literal["realistic", "optimistic", "pessimistic", "random"]
PruningLevel = Literal["none", "exact", "ranks"]
ScoringKind = Literal["proof", "embedding", "hybrid"]
WeightsFrom = Literal["given", "policy", "server", "default"]
BeamScore = Literal["max", "logsumexp", "noisy-or"]


class RequestPart(BaseModel):
    """A part of a request: text is no number, nor the other way round, and no unknown field is taken."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TripleNames(RequestPart):
    """A triple by its names."""

    head: Name = Field(description="Name of the first constant.", examples=["albania"])
    relation: Name = Field(description="Name of the predicate.", examples=["locatedInCR"])
    tail: Name = Field(description="Name of the second constant.", examples=["europe"])


class NamedTriple(TripleNames):
    """A triple to rank against corrupted copies of itself."""

    side: SideOption | None = Field(
        None,
        description="Side whose constant is replaced; by default that of the request.",
        examples=["tail"],
    )


class RankQuery(NamedTriple):
    """A triple to rank against corrupted copies of itself, perhaps against candidates of the caller's own."""

    candidates: list[Name] | None = Field(
        None,
        min_length=1,
        fail_fast=True,
        description="Constants to put in the place of the side's constant, instead of drawn corruptions. The query's "
        "own constant may be among them and is not counted twice. With `filtered`, those that make another known "
        "triple are left out, and `num_filtered` of the ranking counts them. Needs side head or tail.",
        examples=[["asia", "africa", "oceania"]],
    )


class RankOptions(RequestPart):
    """How to rank queries."""

    side: SideOption = Field(
        "both",
        description="Side whose constant is replaced, for queries without a side of their own.",
        examples=["tail"],
    )
    corruptions: Annotated[int, Field(ge=0)] | AllCorruptions = Field(
        50, description="Number of corruptions per query and side, or `all`.", examples=[100]
    )
    filtered: bool = Field(
        True,
        description="Whether corruptions that are known triples are left out, drawn ones and `candidates` alike.",
        examples=[True],
    )
    seed: int = Field(
        0, ge=0, lt=2**63, description="Seed of the draw of corruptions and of random ties.", examples=[0]
    )
    ties: Ties = Field(
        "realistic", description="Rank that counts where scores are equal.", examples=["realistic"]
    )
    pruning: PruningLevel | None = Field(
        None,
        description="What may be left out, all ranks being the same: `none`; `exact`, which keeps every metric; or "
        "`ranks`, which leaves `corruptions_proved` open. By default `exact`, and `none` where every candidate's score "
        "is asked for. Of no use where nothing is proved, which the answer then says.",
        examples=["exact"],
    )

    @field_validator("corruptions", mode="before")
    @classmethod
    def _number_or_all(cls, value: Any) -> Any:
        """One message for both forms, in place of one for each."""
        if value == "all" or (type(value) is int and value >= 0):
            return value
        raise PydanticCustomError("corruptions", "expected a whole number, 0 or more, or 'all'")


def is_none(value: Any) -> bool:
    """Whether a field is left out of JSON: one that was not asked for, so that older readers see what they know."""
    return value is None


class RelationWeights(RequestPart):
    """Weights of hybrid scores: `weight` times k, k being log sigmoid of the embedding's score, and a proof's part."""

    weight: float = Field(
        1.0,
        ge=0,
        le=MOST_WEIGHT,
        allow_inf_nan=False,
        description="By which k is multiplied.",
        examples=[0.5],
    )
    bonus: float | None = Field(
        None,
        ge=-MOST_WEIGHT,
        le=MOST_WEIGHT,
        allow_inf_nan=False,
        description="What a proof adds; null adds its log-probability.",
        examples=[2.0],
    )
    penalty: float = Field(
        100.0,
        ge=0,
        le=MOST_WEIGHT,
        allow_inf_nan=False,
        description="What a failure takes away.",
        examples=[5.0],
    )


class HybridWeights(RelationWeights):
    """Weights of hybrid scores, and perhaps others for the candidates of single relations."""

    by_relation: dict[Name, RelationWeights] | None = Field(
        None,
        max_length=MOST_RELATIONS,
        exclude_if=is_none,
        description="Weights of relations, by name, in place of those beside; a relation that is not named has those.",
        examples=[{"locatedInCR": {"weight": 0.25, "penalty": 10.0}}],
    )


class ScoringRequest(RequestPart):
    """What a candidate's score is."""

    scoring: ScoringKind | None = Field(
        None,
        exclude_if=is_none,
        description="What a candidate's score is: `proof`, the default, its log-probability, less 100 where it was not "
        "proved; `embedding`, the score by the server's embedding, by which nothing is proved; or `hybrid`, of both.",
        examples=["proof"],
    )
    hybrid: HybridWeights | None = Field(
        None,
        exclude_if=is_none,
        description="Weights of `hybrid` scores; by default those stored with the policy, else those of the server's "
        "setting `hybrid`.",
    )

    @property
    def scoring_kind(self) -> ScoringKind:
        """What a candidate's score is."""
        return self.scoring or "proof"

    @model_validator(mode="after")
    def _weighs_hybrid_scores(self) -> Self:
        if self.hybrid is not None and self.scoring != "hybrid":
            raise PydanticCustomError(
                "weights_of_scoring", "'hybrid' gives weights; expected 'hybrid' as 'scoring' too"
            )
        return self


class BeamOptions(RankOptions):
    """How to rank queries, and how many trajectories a candidate has."""

    beam: int | None = Field(
        None,
        ge=1,
        exclude_if=is_none,
        description="Maximum number of trajectories of a candidate, at most `max_beam` of the server; by default 1, "
        "the greedy one.",
        examples=[8],
    )
    beam_score: BeamScore | None = Field(
        None,
        exclude_if=is_none,
        description="How several proofs of a candidate make its score: `max`, the default, by the best one; "
        "`logsumexp` by the probability that the policy takes any of them; or `noisy-or`.",
        examples=["logsumexp"],
    )

    @property
    def beam_width(self) -> int:
        """Maximum number of trajectories of a candidate."""
        return 1 if self.beam is None else self.beam

    @property
    def score_of_beam(self) -> BeamScore:
        """How several proofs make a score."""
        return "max" if self.beam_score is None else self.beam_score


class ProtocolOptions(RankOptions):
    """How to rank queries, perhaps by a protocol."""

    protocol: Annotated[str, Field(max_length=64)] | None = Field(
        None,
        exclude_if=is_none,
        description="Name of a protocol, which settles `corruptions`, `filtered`, `ties` and `candidates_from`: "
        "`filtered-all`, `sampled-50`, `sampled-100`, `deepprooflog`, or, for queries with `candidates`, `ogb` or "
        "`fixed-negatives`.",
        examples=["filtered-all"],
    )
    candidates_from: Literal["domains", "entities", "relations"] | None = Field(
        None,
        exclude_if=is_none,
        description="Where candidates come from: the `domains` of the replaced constant, which is the default, all "
        "`entities`, or those that the facts have with the relation (`relations`).",
        examples=["relations"],
    )

    @model_validator(mode="before")
    @classmethod
    def _settle(cls, value: Any) -> Any:
        """Fills fields that were not given from the protocol."""
        if not isinstance(value, dict) or not isinstance(value.get("protocol"), str):
            return value
        names = ("corruptions", "filtered", "ties", "candidates_from")
        given = {name: value[name] for name in names if value.get(name) is not None}
        try:
            rules = settled(value["protocol"], **given)
        except RankingError as error:
            raise PydanticCustomError("protocol", "{text}", {"text": str(error)}) from error
        return {**value, **{name: getattr(rules, name) for name in names}}

    @property
    def ranking_rules(self) -> RankingRules:
        """How corruptions are chosen and ties are broken."""
        return RankingRules(
            self.protocol, self.corruptions, self.filtered, self.ties, self.candidates_from or "domains"
        )


class ReportOptions(ProtocolOptions):
    """How to rank queries, and what to report of all of them."""

    hits_at: list[Annotated[int, Field(ge=1, le=MOST_K)]] | None = Field(
        None,
        min_length=1,
        max_length=MOST_HITS_AT,
        exclude_if=is_none,
        description="The k of Hits@k, different whole numbers, which `hits_at` of the metrics then has.",
        examples=[[1, 5, 20]],
    )

    @field_validator("hits_at")
    @classmethod
    def _different(cls, value: list[int] | None) -> list[int] | None:
        if value is not None and len(set(value)) != len(value):
            raise PydanticCustomError("hits_at", "a k for the second time; expected different whole numbers")
        return value

    @property
    def counted_hits_at(self) -> tuple[int, ...]:
        """The k of every Hits@k that is counted: those that each answer has, and those asked for; ascending."""
        return tuple(sorted({*HITS_AT, *(self.hits_at or ())}))


class ToleranceOptions(RankOptions):
    """How to rank queries, exactly or until the MRR is certain enough."""

    mrr_tolerance: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        exclude_if=is_none,
        description="Rank only until the MRR is certain to this, up and down; the answer has intervals of metrics and "
        "ranks, in which the exact values lie. By default ranks are exact.",
        examples=[0.001],
    )


class ScoredOptions(BeamOptions, ScoringRequest):
    """How to rank, and by which scores."""

    @property
    def pruning_note(self) -> str | None:
        """What an answer says of a level of pruning that was asked for and has no use."""
        return unused_pruning(self.pruning, self.scoring_kind)

    @model_validator(mode="after")
    def _proves_as_scored(self) -> Self:
        if self.beam_width > 1 and self.scoring_kind == "embedding":
            raise PydanticCustomError(
                "beam_of_proofs", "'beam' is for scores of proofs; expected 'proof' or 'hybrid' as 'scoring'"
            )
        return self


class ScoredToTolerance(ScoredOptions, ToleranceOptions):
    """How to rank, by which scores, and exactly or until the MRR is certain enough."""

    @model_validator(mode="after")
    def _prunes_to_tolerance(self) -> Self:
        is_proving = self.scoring_kind != "embedding"
        if is_proving and self.mrr_tolerance is not None and self.pruning == "none":
            raise PydanticCustomError(
                "pruning_to_tolerance",
                "'pruning' is 'none'; expected 'exact' or 'ranks', the default, with 'mrr_tolerance'",
            )
        return self


class RankRequest(ScoredToTolerance, ReportOptions):
    """Queries and how to rank them."""

    model_config = ConfigDict(
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
    queries: list[RankQuery] = Field(min_length=1, fail_fast=True, description="Triples to rank.")
    deadline_ms: int | None = Field(
        None,
        ge=1,
        description="Milliseconds after which the answer is 504; at most, and by default, the server's maximum.",
        examples=[60000],
    )
    return_candidates: bool = Field(
        False, description="Whether the answer has the score of every candidate.", examples=[False]
    )
    return_proof: bool = Field(
        False, description="Whether the answer has the proof of each positive.", examples=[True]
    )

    @property
    def pruning_level(self) -> PruningLevel:
        """What may be left out; nothing where every candidate's score is asked for, or where nothing is proved."""
        if self.scoring == "embedding":
            return "none"
        if self.mrr_tolerance is not None:
            return self.pruning or "ranks"
        return self.pruning or ("none" if self.return_candidates else "exact")

    @model_validator(mode="after")
    def _has_a_proof_to_return(self) -> Self:
        if self.return_proof and self.scoring_kind == "embedding":
            raise PydanticCustomError(
                "proof_of_embedding",
                "'return_proof' needs what is proved, and 'scoring' is 'embedding'; expected 'proof' or 'hybrid'",
            )
        return self

    @model_validator(mode="after")
    def _needs_no_exact_rank(self) -> RankRequest:
        if self.mrr_tolerance is None:
            return self
        for name in ("return_candidates", "return_proof"):
            if getattr(self, name):
                raise PydanticCustomError(
                    "tolerance_of_scores",
                    "'{name}' needs exact ranks; leave out 'mrr_tolerance', or ask for the triple alone",
                    {"name": name},
                )
        if any(query.candidates is not None for query in self.queries):
            raise PydanticCustomError(
                "tolerance_of_candidates",
                "'candidates' of a query are all ranked; leave them out with 'mrr_tolerance'",
            )
        return self

    @model_validator(mode="after")
    def _has_every_score(self) -> RankRequest:
        if self.return_candidates and self.pruning_level != "none":
            raise PydanticCustomError(
                "pruning_of_candidates",
                "'pruning' leaves scores of candidates open; expected 'none' with 'return_candidates'",
            )
        return self
