"""The answers to ``rank`` and ``evaluate`` with their tables for pandas; all others are those of ``service.wire``."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from proofrank.core.rank_metrics import RankMetrics, RankRow
from proofrank.service import wire
from proofrank.service.client.dataframes import frame, interval_row, ranking_row
from proofrank.service.client.errors import ClientError

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class RankResult(wire.RankResponse):
    """The answer to ``rank``; ``queries`` are in the order of the request."""

    def to_frame(self) -> pandas.DataFrame:
        """A row for each ranking.

        Raises:
            MissingLibraryError: pandas is not installed.
        """
        return frame(
            ranking_row(index, query, ranking)
            for index, query in enumerate(self.queries)
            for ranking in query.rankings
        )


@dataclass(frozen=True)
class IntervalRankResult(wire.IntervalRankResponse):
    """The answer to ``rank`` with ``mrr_tolerance``; ``queries`` are in the order of the request."""

    def to_frame(self) -> pandas.DataFrame:
        """A row for each ranking.

        Raises:
            MissingLibraryError: pandas is not installed.
        """
        return frame(
            interval_row(index, query, ranking)
            for index, query in enumerate(self.queries)
            for ranking in query.rankings
        )


@dataclass(frozen=True)
class JobResult(wire.JobResults):
    """A job that is done; ``rankings`` are in the order of the split or the request.

    Attributes:
        proofs: the proof of each triple of ``proofs_of``, by its names.
    """

    proofs: dict[tuple[str, str, str], wire.ExplainedCandidate] = field(default_factory=dict)

    @property
    def metrics(self) -> wire.Report:
        """The metrics of the whole job.

        Raises:
            ClientError: the job is one with ``mrr_tolerance``, which has ``intervals``.
        """
        if self.job.metrics is None:
            raise ClientError(
                f"job {self.job.id} has mrr_tolerance, so its metrics lie in intervals; read result.intervals"
            )
        return self.job.metrics

    def rank_metrics(self) -> RankMetrics:
        """The rankings, for metrics by PyKEEN's names.

        Raises:
            ProofrankError: the job has no ranking.
        """
        return RankMetrics(
            (
                RankRow(
                    ranking.relation,
                    ranking.side,
                    (ranks.optimistic, ranks.realistic, ranks.pessimistic, ranks.random),
                    ranking.num_candidates,
                )
                for ranking in self.rankings
                for ranks in (ranking.ranks,)
            ),
            self.job.request.ties,
        )

    def metric(self, name: str) -> float | None:
        """A metric of the rankings, such as ``adjusted_hits_at_10`` or ``macro.tail.mrr``; see
        :meth:`proofrank.core.rank_metrics.RankMetrics.metric`.
        """
        return self.rank_metrics().metric(name)

    def to_frame(self) -> pandas.DataFrame:
        """A row for each ranking, with the columns of the job's CSV, and ``reciprocal_rank``.

        Raises:
            MissingLibraryError: pandas is not installed.
        """
        return frame(
            {
                **ranking_row(ranking.query_index, ranking, ranking),
                "corruptions_proved": ranking.corruptions_proved,
            }
            for ranking in self.rankings
        )


@dataclass(frozen=True)
class IntervalJobResult(JobResult):
    """A job with ``mrr_tolerance`` that is done; it has no ``metrics``."""

    @property
    def intervals(self) -> wire.IntervalReport:
        """The intervals of the metrics of the whole job."""
        assert self.job.intervals is not None
        return self.job.intervals

    def to_frame(self) -> pandas.DataFrame:
        """A row for each ranking, with the columns of the job's CSV.

        Raises:
            MissingLibraryError: pandas is not installed.
        """
        return frame(
            interval_row(ranking.query_index, ranking, ranking) for ranking in self.rank_intervals or ()
        )
