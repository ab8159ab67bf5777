"""Metrics of stored ranks under PyKEEN's names; needs only Python, so that results can be judged anywhere."""

from proofrank.core.rank_metrics.names import (
    NAMES,
    RANK_TYPES,
    MetricKey,
    MetricNameError,
    metric_key,
    names_with,
)
from proofrank.core.rank_metrics.ranked import RankMetrics, RankRow

__all__ = [
    "NAMES",
    "RANK_TYPES",
    "MetricKey",
    "MetricNameError",
    "RankMetrics",
    "RankRow",
    "metric_key",
    "names_with",
]
