"""What ``POST /rank`` answers; ``docs/api.md`` defines each field."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from proofrank.service.wire.described import described
from proofrank.service.wire.rank_request import (
    BeamScore,
    PruningLevel,
    ScoringKind,
    WeightsFrom,
    is_none,
)

Head = Annotated[str, described("Name of the first constant.", "albania")]
Relation = Annotated[str, described("Name of the predicate.", "locatedInCR")]
Tail = Annotated[str, described("Name of the second constant.", "europe")]

_LOG_PROBABILITY = -1.4538
SENT_IN_FULL = ConfigDict(json_schema_serialization_defaults_required=True)
"""Configuration of an answer whose fields with defaults are sent all the same."""


@dataclass(frozen=True)
class Identity:
    """Name and content of a dataset or a policy."""

    name: Annotated[str, described("Name of the dataset or policy.", "run-7")]
    sha256: Annotated[str, described("SHA-256 of the content, 64 hexadecimal digits.", "0a958d27" * 8)]


# With slots: an answer may hold a million of them, and this halves their memory and the time to read them.
@dataclass(frozen=True, slots=True)
class CandidateScore:
    """A candidate and its outcome."""

    head: Head
    relation: Relation
    tail: Tail
    score: Annotated[
        float,
        described(
            "Score by which it is ranked; with scoring `proof`, the log-probability of the trajectory, less 100 if it "
            "is no proof.",
            _LOG_PROBABILITY,
        ),
    ]
    proved: Annotated[bool, described("Whether the policy proved the candidate.", True)]
    steps: Annotated[int, described("Number of steps of the trajectory.", 3)]
    log_probability: Annotated[
        float | None,
        Field(
            description="Log-probability of the trajectory, or of a beam: what a proof adds to a `hybrid` score that "
            "has no `bonus`. Missing with the other scorings.",
            examples=[_LOG_PROBABILITY],
            exclude_if=is_none,
        ),
    ] = None
    embedding_score: Annotated[
        float | None,
        Field(
            description="The embedding's score; missing with scoring `proof`.",
            examples=[3.25],
            exclude_if=is_none,
        ),
    ] = None
    embedding_part: Annotated[
        float | None,
        Field(
            description="The embedding's part of a `hybrid` score: `weight` times k; missing with the other scorings.",
            examples=[-0.038],
            exclude_if=is_none,
        ),
    ] = None


@dataclass(frozen=True)
class Rule:
    """A rule of the dataset."""

    name: Annotated[str, described("Name in the file, or `rule` and the number of its line.", "r2")]
    weight: Annotated[
        float, described("Weight or confidence in the file, 1 without one; it has no part in scores.", 0.7)
    ]


@dataclass(frozen=True, config=SENT_IN_FULL)
class ProofStep:
    """A step of a proof: its goals, and the state that the policy chose."""

    state: Annotated[
        tuple[str, ...],
        described("Goals before the step; the first of them is resolved.", ["locatedInCR(albania, europe)"]),
    ]
    num_actions: Annotated[int, described("Number of states that the policy could choose from.", 4)]
    chosen: Annotated[
        tuple[str, ...],
        described(
            "Goals after the step; `True`, `False` or `Endf` at an end.",
            ["neighborOf(albania, montenegro)", "locatedInCR(montenegro, europe)"],
        ),
    ]
    log_probability: Annotated[float, described("Log-probability of the choice.", -0.3636)]
    rule: Annotated[Rule | None, described("Rule that resolved the goal; null for a fact or an end.")] = None


@dataclass(frozen=True)
class Proof:
    """The trajectory of a positive."""

    text: Annotated[
        str,
        described(
            "The proof as a tree, one goal a line.", "locatedInCR(albania, europe)  [rule r2]  p=0.695\n…"
        ),
    ]
    steps: Annotated[tuple[ProofStep, ...], described("Steps of the policy, in order.")]


@dataclass(frozen=True, slots=True)
class Ranks:
    """The four ranks of a positive; they differ where scores are equal."""

    optimistic: Annotated[float, described("Rank if the positive comes first among equal scores.", 2.0)]
    realistic: Annotated[float, described("Mean of the optimistic and the pessimistic rank.", 2.5)]
    pessimistic: Annotated[float, described("Rank if the positive comes last among equal scores.", 3.0)]
    random: Annotated[float, described("Rank in one order of equal scores, drawn with the seed.", 3.0)]


@dataclass(frozen=True)
class RankedPositive:
    """The ranks of a query on one side, and the outcome of its positive."""

    side: Annotated[Literal["head", "tail"], described("Side whose constant was replaced.", "tail")]
    rank: Annotated[float, described("Rank of the positive, under the ties of the request.", 2.5)]
    reciprocal_rank: Annotated[float, described("1 / rank.", 0.4)]
    ranks: Annotated[Ranks, described("Rank of the positive under each choice of ties.")]
    score: Annotated[
        float,
        described(
            "Score by which the positive is ranked; with scoring `proof`, the log-probability of its trajectory, less "
            "100 if it is no proof.",
            _LOG_PROBABILITY,
        ),
    ]
    log_probability: Annotated[
        float, described("Log-probability of the positive's trajectory.", _LOG_PROBABILITY)
    ]
    proved: Annotated[bool, described("Whether the policy proved the positive.", True)]
    steps: Annotated[int, described("Number of steps of the positive's trajectory.", 3)]
    num_candidates: Annotated[int, described("Number of candidates ranked, including the positive.", 51)]


@dataclass(frozen=True, config=SENT_IN_FULL)
class Ranking(RankedPositive):
    """A query ranked on one side."""

    num_filtered: Annotated[
        int | None,
        described(
            "Number of the query's own `candidates` that were left out as known triples; null for a query without "
            "`candidates`.",
            2,
        ),
    ] = None
    candidates: Annotated[
        tuple[CandidateScore, ...] | None,
        described("Every candidate, the positive first; null unless `return_candidates` asks for them."),
    ] = None
    proof: Annotated[
        Proof | None, described("Proof of the positive; null unless `return_proof` asks for it.")
    ] = None
    proofs: Annotated[
        tuple[Proof, ...] | None,
        described(
            "All proofs of the positive in its beam, the best first; null without a beam or `return_proof`."
        ),
    ] = None
    embedding_score: Annotated[
        float | None, described("The embedding's score of the positive; null with scoring `proof`.", 3.25)
    ] = None
    embedding_part: Annotated[
        float | None,
        described(
            "The embedding's part of the positive's `hybrid` score: `weight` times k; null with other scorings.",
            -0.038,
        ),
    ] = None


@dataclass(frozen=True)
class QueryResult:
    """A query and its rankings."""

    head: Head
    relation: Relation
    tail: Tail
    rankings: Annotated[tuple[Ranking, ...], described("Rankings of the query, one for each side.")]


@dataclass(frozen=True, config=ConfigDict(populate_by_name=True))
class Metrics:
    """Aggregate metrics; ``docs/api.md`` defines each."""

    mrr: Annotated[float, described("Mean reciprocal rank.", 0.71)]
    hits_at_1: Annotated[
        float, Field(alias="hits@1", description="Share of ranks that are 1.", examples=[0.6])
    ]
    hits_at_3: Annotated[
        float, Field(alias="hits@3", description="Share of ranks of 3 or less.", examples=[0.8])
    ]
    hits_at_10: Annotated[
        float, Field(alias="hits@10", description="Share of ranks of 10 or less.", examples=[0.95])
    ]
    mean_rank: Annotated[float, described("Mean of the ranks.", 3.2)]
    adjusted_mean_rank_index: Annotated[
        float | None,
        described(
            "Adjusted mean rank index: 0 is chance, 1 is perfect; null if no positive has a corruption.", 0.9
        ),
    ]
    positives_proved: Annotated[
        float | None,
        described(
            "Share of positives that were proved; null where nothing was to be proved, with scoring `embedding`.",
            0.85,
        ),
    ]
    corruptions_proved: Annotated[
        float | None,
        described(
            "Share of corruptions that were proved; null if there is no corruption, or if pruning left it open.",
            0.12,
        ),
    ]
    rankings: Annotated[int, described("Number of rankings; a query ranked on both sides has two.", 48)]
    queries: Annotated[int, described("Number of queries.", 24)]
    candidates: Annotated[int, described("Number of candidates, including the positives.", 2448)]
    seconds: Annotated[float, described("Time of the evaluation, in seconds.", 1.7)]
    asked_hits_at: Annotated[
        dict[int, float] | None,
        Field(
            alias="hits_at",
            exclude_if=is_none,
            description="Share of ranks of k or less, by k, for the k of the request's `hits_at`; missing without it.",
            examples=[{"1": 0.6, "5": 0.85, "20": 1.0}],
        ),
    ] = Field(default=None, kw_only=True)

    @property
    def hits_at(self) -> dict[int, float]:
        """Hits@k by k: those that the request asked for, else those that every answer has."""
        if self.asked_hits_at is not None:
            return self.asked_hits_at
        return {1: self.hits_at_1, 3: self.hits_at_3, 10: self.hits_at_10}


@dataclass(frozen=True, config=ConfigDict(populate_by_name=True))
class Report(Metrics):
    """Metrics overall, per side and per relation."""

    by_side: Annotated[dict[str, Metrics], described("Metrics of each side: `head`, `tail`.")]
    by_relation: Annotated[
        dict[str, Metrics], described("Metrics of each relation that a query has, by its name.")
    ]

    @property
    def overall(self) -> Metrics:
        """Those over all rankings, which the report itself has too."""
        return self


@dataclass(frozen=True)
class Pruning:
    """How many candidates took which way; the three together are all candidates."""

    level: Annotated[
        PruningLevel,
        described("What might be left out: `none`; `exact`, which keeps every metric; or `ranks`.", "exact"),
    ]
    evaluated: Annotated[int, described("Number of candidates whose trajectories took their course.", 280)]
    unprovable: Annotated[
        int,
        described(
            "Number of candidates without a trajectory, because they have no proof, or with `hybrid` scores because "
            "none would change their order.",
            2100,
        ),
    ]
    fallen_behind: Annotated[
        int,
        described(
            "Number of candidates whose trajectories were ended early, because they scored less than the positive.",
            68,
        ),
    ]
    steps: Annotated[
        int | None, described("Number of steps of all trajectories; null if not all were counted.", 5500)
    ]
    note: Annotated[
        str | None,
        Field(
            exclude_if=is_none,
            description="Why the level that was asked for has no use, where it has none; else missing.",
            examples=["nothing is proved with scoring 'embedding', so pruning 'ranks' leaves nothing out"],
        ),
    ] = Field(default=None, kw_only=True)


@dataclass(frozen=True)
class Weights:
    """Weights of hybrid scores."""

    weight: Annotated[float, described("By which log sigmoid of the embedding's score is multiplied.", 0.5)]
    bonus: Annotated[float | None, described("What a proof adds; null for its log-probability.", 2.0)]
    penalty: Annotated[float, described("What a failure takes away.", 5.0)]


@dataclass(frozen=True, config=SENT_IN_FULL)
class Scoring:
    """What the scores are."""

    kind: Annotated[ScoringKind, described("What a score is: `proof`, `embedding` or `hybrid`.", "hybrid")]
    embedding: Annotated[Identity | None, described("Embedding, or file of scores; null with `proof`.")] = (
        None
    )
    weights: Annotated[Weights | None, described("Weights of `hybrid` scores; else null.")] = None
    by_relation: Annotated[
        dict[str, Weights], described("Weights of single relations, by name; empty where there are none.")
    ] = Field(default_factory=dict)
    weights_from: Annotated[
        WeightsFrom | None,
        described(
            "Whose the weights are: `given` in the request, stored with the `policy`, of the `server`'s setting, or "
            "the `default`; null without weights.",
            "policy",
        ),
    ] = None
    warning: Annotated[
        str | None,
        Field(
            description="What to know of the weights: that they were fitted to another beam; missing without.",
            examples=[
                "the weights of hybrid scores were fitted to a beam of 8 (max), and score greedy proofs; expected the "
                "same beam, or weights that are fitted to this one"
            ],
            exclude_if=is_none,
        ),
    ] = None


@dataclass(frozen=True)
class Timing:
    """Times of a request, in seconds."""

    queue_seconds: Annotated[
        float, described("Seconds from acceptance to the start of the evaluation.", 0.0002)
    ]
    first_result_seconds: Annotated[
        float, described("Seconds from acceptance until the first candidate was done.", 0.046)
    ]
    execution_seconds: Annotated[
        float, described("Seconds from the start of the evaluation to its end.", 0.217)
    ]


RankedByProtocol = Annotated[
    str | None,
    Field(
        description="Name of the protocol by which the queries were ranked; missing without one.",
        examples=["filtered-all"],
        exclude_if=is_none,
    ),
]


@dataclass(frozen=True, config=SENT_IN_FULL)
class RankResponse:
    """The answer to ``POST /rank``."""

    request_id: Annotated[
        str, described("Id of the request, as in the header `X-Request-ID` and the server's log.", "9f2c41d0")
    ]
    dataset: Annotated[Identity, described("Dataset whose constants and triples were used.")]
    policy: Annotated[
        Identity, described("Policy that ranked: the one that was live when the request began.")
    ]
    engine: Annotated[str, described("Engine that computed the ranks.", "eager")]
    metrics: Annotated[Report, described("Metrics over all rankings of this answer.")]
    timing: Annotated[Timing, described("Times of the request.")]
    queries: Annotated[
        tuple[QueryResult, ...], described("Queries and their rankings, in the order of the request.")
    ]
    pruning: Annotated[
        Pruning | None,
        described(
            "What was left out, all ranks being the same; missing from an older server, which left out nothing."
        ),
    ] = None
    beam: Annotated[int, described("Maximum number of trajectories that a candidate had.", 8)] = 1
    beam_score: Annotated[BeamScore, described("How several proofs made a score.", "logsumexp")] = "max"
    scoring: Annotated[
        Scoring | None, described("What the scores are; missing from an older server: those of proofs.")
    ] = None
    protocol: RankedByProtocol = None
