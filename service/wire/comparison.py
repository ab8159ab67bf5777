"""A comparison of two evaluations, as ``proofrank compare --json`` writes it and ``GET /compare`` answers it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from proofrank.service.wire.described import described
from proofrank.service.wire.rank_answer import SENT_IN_FULL, Head, Identity, Relation, Tail
from proofrank.service.wire.rank_request import is_none


@dataclass(frozen=True)
class Difference:
    """A metric of two evaluations, A and B."""

    a: Annotated[float, described("Metric in A.", 0.71)]
    b: Annotated[float, described("Metric in B.", 0.74)]
    difference: Annotated[float, described("B less A.", 0.03)]
    low: Annotated[
        float | None,
        described(
            "Lower bound of the interval of the difference; null with a single triple, and without intervals.",
            0.01,
        ),
    ]
    high: Annotated[float | None, described("Upper bound of the interval; null with a single triple.", 0.05)]
    changed: Annotated[
        int, described("Number of triples that the metric judges otherwise in B than in A.", 31)
    ]
    rests_on_few: Annotated[
        bool, described("Whether so few triples changed that the interval is too narrow to rely on.", False)
    ]

    @property
    def is_worse(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high is not None and self.high < 0

    @property
    def is_better(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low is not None and self.low > 0


Differences = Annotated[
    dict[str, Difference], described("Differences by metric: `mrr`, `hits@1`, `hits@3`, `hits@10`.")
]


@dataclass(frozen=True)
class GroupDifference:
    """The metrics of two evaluations over a group of rankings."""

    triples: Annotated[int, described("Number of triples.", 24)]
    rankings: Annotated[int, described("Number of rankings.", 48)]
    better: Annotated[int, described("Number of rankings whose rank is better in B.", 9)]
    worse: Annotated[int, described("Number of rankings whose rank is worse in B.", 4)]
    metrics: Differences


@dataclass(frozen=True)
class MacroDifference:
    """Means over relations, each counting alike."""

    relations: Annotated[int, described("Number of relations.", 11)]
    metrics: Differences


@dataclass(frozen=True, config=SENT_IN_FULL)
class RankingProtocol:
    """How both evaluations rank."""

    split: Annotated[str | None, described("Split whose triples are ranked; null for other triples.", "test")]
    limit: Annotated[int | None, described("Maximum number of triples; null for all.", 1000)]
    side: Annotated[Literal["head", "tail", "both"], described("Side whose constant is replaced.", "both")]
    corruptions: Annotated[
        int | Literal["all"], described("Number of corruptions of each triple and side.", 100)
    ]
    filtered: Annotated[bool, described("Whether corruptions that are known triples are left out.", True)]
    ties: Annotated[str, described("Rank that counts among equal scores.", "realistic")]
    seed: Annotated[int, described("Seed of every draw.", 0)]
    scoring: Annotated[str, described("What a score is: `proof`, `embedding` or `hybrid`.", "proof")] = (
        "proof"
    )
    beam: Annotated[int, described("Maximum number of trajectories of a candidate.", 8)] = 1
    beam_score: Annotated[
        str, described("How several proofs of a candidate make its score.", "logsumexp")
    ] = "max"
    name: Annotated[
        str | None,
        Field(description="Name of the protocol; missing without one.", examples=["ogb"], exclude_if=is_none),
    ] = None
    candidates_from: Annotated[
        str | None,
        Field(
            description="Where candidates come from; missing for the domains of constants.",
            examples=["entities"],
            exclude_if=is_none,
        ),
    ] = None
    negatives: Annotated[
        str | None,
        Field(
            description="SHA-256 of the file of fixed negatives; missing without one.",
            examples=["0a958d27" * 8],
            exclude_if=is_none,
        ),
    ] = None


@dataclass(frozen=True)
class ComparedEvaluation:
    """One of the two evaluations."""

    label: Annotated[str, described("What it is called: a file or a job.", "epoch-2.jsonl")]
    policy: Annotated[Identity, described("Policy that ranked.")]
    pruning: Annotated[str, described("What was left out: `none`, `exact` or `ranks`.", "exact")]
    certified: Annotated[
        bool,
        described(
            "Whether some ranks follow from bounds on scores, without a proof of every candidate.", True
        ),
    ]


@dataclass(frozen=True)
class ChangedRanking:
    """A ranking whose rank differs."""

    head: Head
    relation: Relation
    tail: Tail
    side: Annotated[Literal["head", "tail"], described("Side whose constant was replaced.", "tail")]
    depth: Annotated[str | None, described("Depth of the triple, where depths are given.", "2")]
    rank_a: Annotated[float, described("Rank in A.", 1.0)]
    rank_b: Annotated[float, described("Rank in B.", 7.0)]
    num_candidates: Annotated[int, described("Number of candidates ranked.", 51)]
    proved_a: Annotated[bool, described("Whether the triple is proved in A.", True)]
    proved_b: Annotated[bool, described("Whether the triple is proved in B.", False)]


@dataclass(frozen=True)
class Comparison:
    """Two evaluations of the same queries: A, the one before, and B."""

    a: Annotated[ComparedEvaluation, described("Evaluation to compare with.")]
    b: Annotated[ComparedEvaluation, described("Evaluation that is judged.")]
    dataset: Annotated[Identity, described("Dataset of both.")]
    protocol: Annotated[RankingProtocol, described("How both rank.")]
    confidence: Annotated[float, described("Share of intervals that should hold the true difference.", 0.95)]
    resamples: Annotated[int, described("Number of resamples of the bootstrap.", 2000)]
    seed: Annotated[int, described("Seed of the bootstrap.", 0)]
    is_worse: Annotated[
        bool, described("Whether the whole interval of the difference of MRR lies below 0.", False)
    ]
    overall: Annotated[GroupDifference, described("Differences over all rankings.")]
    macro: Annotated[MacroDifference, described("Differences of means over relations, each alike.")]
    by_side: Annotated[dict[str, GroupDifference], described("Differences for each side.")]
    by_relation: Annotated[dict[str, GroupDifference], described("Differences for each relation, by name.")]
    by_depth: Annotated[
        dict[str, GroupDifference], described("Differences for each depth; empty where none are given.")
    ]
    changed: Annotated[
        tuple[ChangedRanking, ...],
        described("Rankings whose rank differs, the worst loss of B first."),
    ]
    scores_note: Annotated[
        str | None,
        described(
            "How the embeddings or the weights of hybrid scores of A and B differ, in words; null where they do not.",
            "The scores are unlike: weight is 1 in A and 0.5 in B. The policy is the same, and the differences are "
            "none of policies.",
        ),
    ] = None
