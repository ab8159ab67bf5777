"""The names of rank-based metrics, as PyKEEN 1.11 has them, and what a name may say beside the metric.

A name is ``[macro.][SIDE.][TYPE.]METRIC``, such as ``mrr``, ``tail.hits_at_5`` or
``macro.both.pessimistic.adjusted_mean_rank_index``. Without a side, both sides count; without a type of rank, the one
of the evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from proofrank.core.choices import MOST_K, SIDES, TIE_POLICIES
from proofrank.core.errors import ProofrankError, did_you_mean, nearest_names, shown

RANK_TYPES = TIE_POLICIES
"""Types of rank: those of PyKEEN, and ``random``."""

WITHOUT_K = (
    "arithmetic_mean_rank",
    "geometric_mean_rank",
    "harmonic_mean_rank",
    "median_rank",
    "inverse_arithmetic_mean_rank",
    "inverse_geometric_mean_rank",
    "inverse_harmonic_mean_rank",
    "inverse_median_rank",
    "standard_deviation",
    "variance",
    "median_absolute_deviation",
    "count",
    "adjusted_arithmetic_mean_rank",
    "adjusted_arithmetic_mean_rank_index",
    "adjusted_geometric_mean_rank_index",
    "adjusted_inverse_harmonic_mean_rank",
    "z_arithmetic_mean_rank",
    "z_geometric_mean_rank",
    "z_inverse_harmonic_mean_rank",
)
WITH_K = ("hits_at_", "adjusted_hits_at_", "z_hits_at_")
"""Beginnings of the names that end with a k."""

NAMES = (*WITHOUT_K, *(f"{beginning}k" for beginning in WITH_K))
"""Names of all metrics; k stands for a whole number."""

_SYNONYMS = {
    **dict.fromkeys(("mean_rank", "mr"), "arithmetic_mean_rank"),
    "gmr": "geometric_mean_rank",
    "hmr": "harmonic_mean_rank",
    "iamr": "inverse_arithmetic_mean_rank",
    "igmr": "inverse_geometric_mean_rank",
    **dict.fromkeys(("mrr", "mean_reciprocal_rank"), "inverse_harmonic_mean_rank"),
    **dict.fromkeys(("std", "rank_std"), "standard_deviation"),
    **dict.fromkeys(("var", "rank_var"), "variance"),
    **dict.fromkeys(("mad", "rank_mad"), "median_absolute_deviation"),
    "rank_count": "count",
    **dict.fromkeys(("adjusted_mean_rank", "amr", "aamr"), "adjusted_arithmetic_mean_rank"),
    **dict.fromkeys(("adjusted_mean_rank_index", "amri", "aamri"), "adjusted_arithmetic_mean_rank_index"),
    **dict.fromkeys(("gmri", "agmri"), "adjusted_geometric_mean_rank_index"),
    **dict.fromkeys(
        ("amrr", "aihmr", "adjusted_mrr", "adjusted_mean_reciprocal_rank"),
        "adjusted_inverse_harmonic_mean_rank",
    ),
    **dict.fromkeys(("zamr", "zmr"), "z_arithmetic_mean_rank"),
    "zgmr": "z_geometric_mean_rank",
    **dict.fromkeys(("zmrr", "zihmr"), "z_inverse_harmonic_mean_rank"),
}
_SYNONYMS_WITH_K = {
    **dict.fromkeys(("h@", "hits@", "h_at_"), "hits_at_"),
    **dict.fromkeys(("ah@", "ahits@", "ahits_at_", "ah_at_", "adjusted_hits@"), "adjusted_hits_at_"),
    **dict.fromkeys(("z_hits@",), "z_hits_at_"),
}
_TYPE_SYNONYMS = {"best": "optimistic", "worst": "pessimistic", "avg": "realistic", "average": "realistic"}

_ENDS_WITH_K = re.compile(r"(?P<beginning>.*?(?:@|_at_))\.?(?P<k>\d+)")


class MetricNameError(ProofrankError):
    """There is no metric of this name."""


@dataclass(frozen=True)
class MetricKey:
    """A metric, and the rankings and ranks that it is of.

    Attributes:
        metric: canonical name without k, one of ``WITHOUT_K`` or ``WITH_K``.
        k: k of a metric of ``WITH_K``; else None.
        side: ``head``, ``tail`` or ``both``.
        rank_type: one of ``RANK_TYPES``; None for that of the evaluation.
        is_macro: whether it is the mean over relations, each alike.
    """

    metric: str
    k: int | None = None
    side: str = "both"
    rank_type: str | None = None
    is_macro: bool = False

    @property
    def name(self) -> str:
        """Canonical name of the metric alone."""
        return self.metric if self.k is None else f"{self.metric}{self.k}"

    def __str__(self) -> str:
        parts = (
            "macro" if self.is_macro else "",
            self.side if self.side != "both" else "",
            self.rank_type or "",
        )
        return ".".join([part for part in parts if part] + [self.name])


def metric_key(name: str) -> MetricKey:
    """Reads a name; see the module.

    Raises:
        MetricNameError: there is no such metric; with the nearest names.
    """
    parts = name.split(".")
    if len(parts) > 1 and parts[-1].isdecimal():  # PyKEEN also writes hits@k.5
        parts[-2:] = [f"{parts[-2].removesuffix('k')}{parts[-1]}"]
    key = MetricKey("")
    *prefixes, metric = parts
    if prefixes and prefixes[0] == "macro":
        key = replace(key, is_macro=True)
        prefixes = prefixes[1:]
    if prefixes and prefixes[0] in (*SIDES, "both"):
        key = replace(key, side=prefixes[0])
        prefixes = prefixes[1:]
    if prefixes and (rank_type := _TYPE_SYNONYMS.get(prefixes[0], prefixes[0])) in RANK_TYPES:
        key = replace(key, rank_type=rank_type)
        prefixes = prefixes[1:]
    canonical = None if prefixes else _canonical(metric.lower())
    if canonical is None:
        raise _unknown(name, metric)
    return replace(key, metric=canonical[0], k=canonical[1])


def _canonical(metric: str) -> tuple[str, int | None] | None:
    """The canonical name and k; None for an unknown name."""
    metric = _SYNONYMS.get(metric, metric)
    if metric in WITHOUT_K:
        return metric, None
    found = _ENDS_WITH_K.fullmatch(metric)
    if found is None:
        return None
    beginning = _SYNONYMS_WITH_K.get(found["beginning"], found["beginning"])
    if beginning not in WITH_K or len(found["k"]) > len(str(MOST_K)) or not 1 <= int(found["k"]) <= MOST_K:
        return None
    return beginning, int(found["k"])


def _unknown(name: str, metric: str) -> MetricNameError:
    nearest = did_you_mean(nearest_names(metric, (*NAMES, *_SYNONYMS)))
    return MetricNameError(
        f"unknown metric {shown(name)}{nearest or '; expected [macro.][SIDE.][TYPE.]METRIC, such as mrr or hits_at_5'}"
    )


def names_with(ks: Iterable[int]) -> tuple[str, ...]:
    """Canonical names of all metrics, those with a k once for each of ``ks``."""
    return (*WITHOUT_K, *(f"{beginning}{k}" for beginning in WITH_K for k in ks))
