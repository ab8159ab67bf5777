"""Finds what cannot be in a recorded evaluation, from its outcomes alone.

No policy is needed: what is judged is whether the outcomes can be those of any policy, and whether ranks and
metrics follow from them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from proofrank.core.evaluator.recordings import RecordedCandidate, RecordedQuery, Recording
from proofrank.core.evaluator.replay import atom_text
from proofrank.core.graph import Dataset, Triple
from proofrank.core.provability import LeastModel

METRIC_TOLERANCE = 1e-6
"""Maximum difference of a recorded metric from that of the recorded ranks: it may have been rounded."""

IMPOSSIBLE_PROOF = "impossible proof"
TOO_MANY_STEPS = "more steps than the limit"
POSITIVE_LOG_PROBABILITY = "log-probability above 0"
OTHER_NUMBER_OF_ACTIONS = "another number of actions than of steps"
IMPOSSIBLE_RANK = "rank that the scores do not allow"
OTHER_METRIC = "metric that the ranks do not give"
KINDS = (
    IMPOSSIBLE_PROOF,
    TOO_MANY_STEPS,
    POSITIVE_LOG_PROBABILITY,
    OTHER_NUMBER_OF_ACTIONS,
    IMPOSSIBLE_RANK,
    OTHER_METRIC,
)


@dataclass(frozen=True)
class Finding:
    """Something that cannot be.

    Attributes:
        kind: one of ``KINDS``.
        where: the candidate, the query or the metric.
        text: what was recorded, and what is possible.
    """

    kind: str
    where: str
    text: str


@dataclass(frozen=True)
class Audit:
    """Result of an audit.

    Attributes:
        num_candidates: how many candidates were judged.
        num_proved: how many are recorded as proved.
        findings: what cannot be, in the order of the recording.
        is_model_exact: whether the least model was exact; with a superset, some impossible proofs may not be found.
    """

    num_candidates: int
    num_proved: int
    findings: tuple[Finding, ...]
    is_model_exact: bool

    @property
    def counts(self) -> dict[str, int]:
        """Kind -> how many findings, in the order of ``KINDS``, those without any left out."""
        counted = Counter(finding.kind for finding in self.findings)
        return {kind: counted[kind] for kind in KINDS if counted[kind]}


def audit(recording: Recording, dataset: Dataset, model: LeastModel) -> Audit:
    """Judges every outcome, rank and metric of ``recording``.

    A candidate whose outcome was not recorded is left out, and so is the rank of its query.

    Args:
        recording: what to judge.
        dataset: the graph that it is of.
        model: the least model of ``dataset``.

    Raises:
        UnknownNameError: a candidate's name is not in the dataset.
    """
    candidates = [candidate for candidate in recording.candidates if candidate.is_success_recorded]
    is_provable = model.contains(_triples(candidates, dataset))
    findings = [
        finding
        for candidate, may_be_proved in zip(candidates, is_provable.tolist(), strict=True)
        for finding in _of_candidate(candidate, may_be_proved, recording.settings.max_depth)
    ]
    findings += [finding for query in recording.queries for finding in _of_rank(query)]
    findings += _of_metrics(recording)
    return Audit(
        num_candidates=len(candidates),
        num_proved=sum(candidate.success for candidate in candidates),
        findings=tuple(findings),
        is_model_exact=model.is_exact,
    )


def _triples(candidates: Sequence[RecordedCandidate], dataset: Dataset) -> np.ndarray:
    triples: list[Triple] = []
    for candidate in candidates:
        predicate, head, tail = candidate.names
        triples.append(dataset.triple(head, predicate, tail))
    return np.array(triples, dtype=np.int64).reshape(-1, 3)


def _of_candidate(candidate: RecordedCandidate, may_be_proved: bool, max_depth: int) -> Iterator[Finding]:
    where = atom_text(candidate.names)
    if candidate.success and not may_be_proved:
        yield Finding(IMPOSSIBLE_PROOF, where, "recorded as proved; facts and rules do not imply it")
    if candidate.steps > max_depth:
        yield Finding(TOO_MANY_STEPS, where, f"{candidate.steps} steps; max_depth is {max_depth}")
    if candidate.log_probability > 0 or math.isnan(candidate.log_probability):
        yield Finding(POSITIVE_LOG_PROBABILITY, where, f"{candidate.log_probability}; expected 0 or less")
    if len(candidate.actions) != candidate.steps:
        yield Finding(
            OTHER_NUMBER_OF_ACTIONS, where, f"{len(candidate.actions)} actions in {candidate.steps} steps"
        )


def _of_rank(query: RecordedQuery) -> Iterator[Finding]:
    if query.recorded_rank is None or not all(
        candidate.is_success_recorded for candidate in query.candidates
    ):
        return
    scores = [candidate.score for candidate in query.candidates]
    best = 1 + sum(score > scores[0] for score in scores[1:])
    worst = 1 + sum(score >= scores[0] for score in scores[1:])
    if not best <= query.recorded_rank <= worst:
        possible = f"{best}" if best == worst else f"{best} to {worst}"
        yield Finding(
            IMPOSSIBLE_RANK,
            f"{atom_text(query.names)}, {query.side}",
            f"rank {query.recorded_rank}; the recorded outcomes give {possible}",
        )


def _of_metrics(recording: Recording) -> Iterator[Finding]:
    ranks = [query.recorded_rank for query in recording.queries if query.recorded_rank is not None]
    if not ranks or len(ranks) < len(recording.queries):
        return
    expected = {"mrr": sum(1 / rank for rank in ranks) / len(ranks)}
    expected |= {f"hits@{k}": sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 3, 10)}
    for name, value in expected.items():
        for key in (name, f"{name}_mean", name.replace("@", "")):
            recorded = recording.metrics.get(key)
            if isinstance(recorded, int | float) and not abs(recorded - value) <= METRIC_TOLERANCE:
                yield Finding(OTHER_METRIC, key, f"{recorded}; the recorded ranks give {value:.6f}")
