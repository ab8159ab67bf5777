"""An evaluation whose MRR is certain to a tolerance, and which goes on where a smaller one is wanted.

evaluation = proofrank.evaluate(dataset, policy, split="valid", corruptions="all", mrr_tolerance=0.001)
print(evaluation.metrics.mrr)  # Interval(low=…, high=…)
evaluation.refine(0.0005)  # proves only what is still needed
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofrank.core.choices import HITS_AT, SPLITS, unused_pruning
from proofrank.core.errors import ProofrankError
from proofrank.core.evaluator import Evaluator
from proofrank.core.evaluator.artifacts import default_cache_folder
from proofrank.core.formats.warnings import DatasetWarning
from proofrank.core.graph import Dataset, Triple
from proofrank.core.policy import Policy
from proofrank.core.ranking import (
    PROOF_SCORING,
    AllCompletions,
    IntervalReport,
    LazyQueries,
    MetricIntervals,
    PruningCounts,
    Refinement,
    RefinementProgress,
    Scoring,
    check_level,
    has_depths,
    interval_report,
    known_depths,
    parts_of,
)
from proofrank.frames import frame_of

if TYPE_CHECKING:
    import pandas

NO_ENGINE = "none"
"""Name of the engine where nothing is proved."""


@dataclass(frozen=True)
class TripleRankInterval:
    """One triple on one side, and where its rank lies.

    Attributes:
        query_index: the triple's place among those ranked, from 0; its two sides share it.
        head: name of its first constant.
        relation: name of its predicate.
        tail: name of its second constant.
        side: the side that its corruptions replace, ``head`` or ``tail``.
        rank_low: the lowest rank that it can have.
        rank_high: the highest.
        proved: whether it was proved; None if it has not been tried.
        open: how many of its corruptions may still move the rank.
        num_candidates: how many candidates are ranked, the triple included.
    """

    query_index: int
    head: str
    relation: str
    tail: str
    side: str
    rank_low: float
    rank_high: float
    proved: bool | None
    open: int
    num_candidates: int


class IntervalEvaluation:
    """Metrics that are certain to lie in intervals; see the module.

    Attributes:
        dataset: name of the dataset.
        policy: name of the policy.
        engine: name of the engine that runs.
        dataset_sha256: content hash of the dataset.
        policy_sha256: content hash of the policy.
        warnings: what is probably wrong in the dataset's files.
        pruning: the level of pruning: ``exact`` or ``ranks``; ``none`` where nothing is proved.
        pruning_note: why the level of pruning that was asked for has no use, where it has none; else None.
        scoring: what the scores are, as in :class:`proofrank.EvaluationReport`. By an embedding alone every score is
            known, so no interval has a width.
        tolerance: the smallest tolerance that was asked for; None before the first.
    """

    def __init__(
        self,
        refinement: Refinement,
        dataset: Dataset,
        policy: Policy,
        engine: str,
        level: str,
        depths: Sequence[str] | None = None,
        hits_at: Sequence[int] = HITS_AT,
        pruning_note: str | None = None,
    ) -> None:
        """Proves nothing yet.

        Args:
            refinement: does the work.
            dataset: the graph.
            policy: the policy to judge.
            engine: name of the engine.
            level: of pruning.
            depths: name of the depth of each triple, if depths are known.
            hits_at: the k of Hits@k.
            pruning_note: why another level that was asked for has no use; None if it has one.
        """
        self.dataset = dataset.name
        self.policy = policy.name
        self.engine = engine
        self.dataset_sha256 = dataset.content_hash
        self.policy_sha256 = policy.content_hash
        self.warnings: tuple[DatasetWarning, ...] = dataset.warnings
        self.pruning = level
        self.pruning_note = pruning_note
        self.scoring: Mapping[str, Any] = (
            PROOF_SCORING if refinement.scoring is None else refinement.scoring.to_dict()
        )
        self.tolerance: float | None = None
        self._refinement = refinement
        self._graph = dataset
        self._depths = depths
        self._hits_at = hits_at

    def refine(
        self,
        mrr_tolerance: float,
        *,
        max_seconds: float = math.inf,
        progress: bool | Callable[[int, int], None] = False,
    ) -> IntervalEvaluation:
        """Goes on until the MRR is certain to ``mrr_tolerance``; what has been proved is not proved again.

        Args:
            mrr_tolerance: 0 or more; with 0 every rank is exact.
            max_seconds: when to stop before, with the intervals reached by then.
            progress: True for a bar with the interval on standard error, or a function that is told (decided, all)
                candidates.

        Returns:
            Itself.

        Raises:
            RankingError: ``mrr_tolerance`` is no number of 0 or more.
            EvaluationError: a candidate cannot be evaluated exactly.
            EmbeddingError: a candidate has no score by the embedding.
        """
        with _told(progress, mrr_tolerance) as on_progress:
            self._refinement.refine(mrr_tolerance, max_seconds=max_seconds, on_progress=on_progress)
        self.tolerance = min(mrr_tolerance, math.inf if self.tolerance is None else self.tolerance)
        self.__dict__.pop("report", None)
        return self

    @cached_property
    def report(self) -> IntervalReport:
        """The intervals overall, per side, per relation, and per depth if depths are known."""
        rankings = self._refinement.rankings
        so_far = self._refinement.so_far()
        parts = parts_of(rankings, self._graph, self._depths, so_far.query_index)
        return interval_report(so_far, parts, self._refinement.seconds, self._hits_at)

    @property
    def metrics(self) -> MetricIntervals:
        """The intervals over all rankings."""
        return self.report.overall

    @property
    def by_side(self) -> dict[str, MetricIntervals]:
        """The intervals of each side."""
        return self.report.by_side

    @property
    def by_relation(self) -> dict[str, MetricIntervals]:
        """The intervals of each relation, by its name."""
        return self.report.by_relation

    @property
    def by_depth(self) -> dict[str, MetricIntervals]:
        """The intervals of each depth, by its name; empty if depths are not known."""
        return self.report.by_depth

    @property
    def pruning_counts(self) -> PruningCounts:
        """How many candidates were proved and left out so far, and the steps that this took."""
        return self._refinement.counts

    @property
    def rankings(self) -> tuple[TripleRankInterval, ...]:
        """One for each triple and side, in order."""
        so_far = self._refinement.so_far()
        columns = (
            *(so_far.query_index, so_far.low, so_far.high, so_far.is_positive_known, so_far.is_proved),
            *(so_far.num_open, so_far.num_corruptions),
        )
        found = []
        for (triple, side), query_index, low, high, is_known, is_proved, num_open, corruptions in zip(
            self._refinement.rankings, *(column.tolist() for column in columns), strict=True
        ):
            head, relation, tail = self._graph.names(triple)
            proved = is_proved if is_known else None
            found.append(
                TripleRankInterval(
                    *(query_index, head, relation, tail, side, low, high, proved, num_open, corruptions + 1)
                )
            )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """What ``proofrank evaluate --mrr-tolerance … --json`` writes: None for each metric that is not known, its
        interval, and where the rank of each triple lies.
        """
        return {
            **self.report.to_dict(),
            "dataset": {"name": self.dataset, "sha256": self.dataset_sha256},
            "policy": {"name": self.policy, "sha256": self.policy_sha256},
            "warnings": [warning.to_dict() for warning in self.warnings],
            "pruning": {
                **with_note(self.pruning_counts.to_dict(self.pruning), self.pruning_note),
                "mrr_tolerance": self.tolerance,
                "open": self.metrics.open,
            },
            "scoring": dict(self.scoring),
            "rank_intervals": [dataclasses.asdict(ranking) for ranking in self.rankings],
        }

    def to_frame(self) -> pandas.DataFrame:
        """The rankings as a DataFrame, one row each, with the columns of :class:`TripleRankInterval`.

        Raises:
            ProofrankError: pandas is not installed.
        """
        return frame_of(TripleRankInterval, self.rankings)


def interval_evaluation(
    evaluator: Evaluator | None,
    dataset: Dataset,
    policy: Policy,
    work: LazyQueries,
    *,
    pruning: str | None = None,
    ties: str = "realistic",
    seed: int = 0,
    cache_folder: Path | None = None,
    splits: Sequence[str] = SPLITS,
    hits_at: Sequence[int] = HITS_AT,
    scoring: Scoring | None = None,
) -> IntervalEvaluation:
    """An evaluation that has proved nothing yet.

    Args:
        evaluator: proves the candidates; None where ``scoring`` is ``embedding``.
        dataset: the graph.
        policy: the policy to judge.
        work: what to rank, at least one triple.
        pruning: ``exact`` or ``ranks``, the default; ``none`` too where nothing is proved.
        ties: rank that counts, one of ``TIE_POLICIES``.
        seed: seed of the random order of ties and of candidates.
        cache_folder: where least models are kept; that of the user by default.
        splits: whose files of depths are read, where there are any.
        hits_at: the k of Hits@k.
        scoring: what scores beside or instead of proofs; None for proofs alone.

    Raises:
        RankingError: an option is wrong.
        DatasetError: a file of depths cannot be read.
    """
    level = "ranks" if pruning is None else pruning
    check_level(level, "proof" if scoring is None else scoring.kind)
    if evaluator is None:  # nothing is proved, so no model is of use
        depths = depths_beside(dataset, work.triples, splits, cache_folder)
        every = AllCompletions(dataset.vocabulary.num_constants)
        refinement = Refinement(None, work, every, ties=ties, seed=seed, scoring=scoring)
        note = unused_pruning(pruning, "embedding")
        return IntervalEvaluation(refinement, dataset, policy, NO_ENGINE, "none", depths, hits_at, note)
    # Imported here: ranking without pruning, as on a machine that only runs benchmarks, does not need scipy.
    from proofrank.core.provability import stored_least_model

    model = stored_least_model(dataset, default_cache_folder() if cache_folder is None else cache_folder)
    depths = known_depths(dataset, work.triples, model, splits)
    refinement = Refinement(evaluator, work, model, level=level, ties=ties, seed=seed, scoring=scoring)
    return IntervalEvaluation(refinement, dataset, policy, evaluator.engine, level, depths, hits_at)


def with_note(pruning: dict[str, Any], note: str | None) -> dict[str, Any]:
    """What was left out, as JSON, with a note on what was asked for, if that needs one."""
    return pruning if note is None else {**pruning, "note": note}


def depths_beside(
    dataset: Dataset, triples: Sequence[Triple], splits: Sequence[str], cache_folder: Path | None = None
) -> list[str] | None:
    """The names of the depths of ``triples`` from the files in the dataset's folder; None if there is none.

    Raises:
        DatasetError: a file cannot be read.
    """
    if not has_depths(dataset, splits):
        return None
    from proofrank.core.provability import stored_least_model

    model = stored_least_model(dataset, default_cache_folder() if cache_folder is None else cache_folder)
    return known_depths(dataset, triples, model, splits)


@contextmanager
def _told(
    progress: bool | Callable[[int, int], None], tolerance: float
) -> Iterator[Callable[[RefinementProgress], None] | None]:
    """The function to tell how far the work has come, for what the caller asked to be shown."""
    if progress is False:
        yield None
        return
    if progress is not True:
        yield lambda told: progress(told.num_decided, told.num_candidates)
        return
    try:
        from rich.console import Console

        from proofrank.service.terminal.progress import interval_bar
    except ImportError as error:
        raise ProofrankError("progress=True needs rich: pip install rich") from error
    with interval_bar(Console(stderr=True), tolerance) as on_progress:
        yield on_progress
