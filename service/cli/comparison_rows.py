"""What a comparison shows, in words and cells, for the terminal and for Markdown alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from proofrank.service.wire import (
    ChangedRanking,
    ComparedEvaluation,
    Comparison,
    Difference,
    GroupDifference,
)

HEADER = ("", "A", "B", "B - A", "interval", "Hits@1", "Hits@3", "Hits@10", "better", "worse", "triples")
CHANGES_HEADER = ("triple", "side", "rank in A", "rank in B", "of", "proof")
LEGEND = "* the interval lies on one side of 0.  ? fewer than 10 triples changed: the interval is too narrow."


class Row(NamedTuple):
    """A row of the table of metrics.

    Attributes:
        section: rows of one section stand together: ``all``, ``side``, ``relation``, ``depth``.
        cells: one for each column of ``HEADER``.
    """

    section: str
    cells: tuple[str, ...]


def title(comparison: Comparison) -> str:
    """What is compared."""
    split = comparison.protocol.split or "queries"
    return f"B against A on {comparison.dataset.name}, {split}: MRR, and differences of Hits@k"


def verdict(comparison: Comparison) -> str:
    """The difference of MRR in a sentence."""
    mrr = comparison.overall.metrics["mrr"]
    change = f"MRR {mrr.a:.4f} → {mrr.b:.4f} ({mrr.difference:+.4f}, {_interval(comparison, mrr)})"
    if mrr.is_worse:
        return f"B is worse: {change}."
    if mrr.is_better:
        return f"B is better: {change}."
    if not comparison.changed:
        return f"No rank changed: MRR {mrr.a:.4f}."
    return f"No difference is shown: {change}."


def evaluations(comparison: Comparison) -> list[str]:
    """A line for each evaluation, and one where their scores are unlike."""
    lines = [_evaluation("A", comparison.a), _evaluation("B", comparison.b)]
    return lines if comparison.scores_note is None else [*lines, comparison.scores_note]


def _evaluation(name: str, evaluation: ComparedEvaluation) -> str:
    policy = evaluation.policy
    text = f"{name}: {evaluation.label}, policy {policy.sha256[:12]}"
    if not policy.sha256.startswith(policy.name):
        text = f"{name}: {evaluation.label}, policy {policy.name} ({policy.sha256[:12]})"
    if evaluation.certified:
        return (
            f"{text}, pruning {evaluation.pruning}: some candidates are certified to rank lower, not proved"
        )
    return text


def metric_rows(comparison: Comparison) -> Iterator[Row]:
    """The rows of the table of metrics."""
    yield Row("all", _group_cells("all", comparison.overall))
    macro = comparison.macro
    if macro.relations > 1:
        yield Row("all", (f"macro, {macro.relations} relations", *_metric_cells(macro.metrics), "", "", ""))
    for section, groups in (
        ("side", comparison.by_side),
        ("relation", comparison.by_relation),
        ("depth", comparison.by_depth),
    ):
        for key, group in groups.items():
            yield Row(section, _group_cells(f"depth {key}" if section == "depth" else key, group))


def change_cells(change: ChangedRanking) -> tuple[str, ...]:
    """The cells of a changed ranking, one for each column of ``CHANGES_HEADER``."""
    proof = {
        (True, False): "lost",
        (False, True): "found",
        (True, True): "in both",
        (False, False): "in none",
    }
    depth = "" if change.depth is None else f", depth {change.depth}"
    return (
        f"{change.relation}({change.head}, {change.tail}){depth}",
        change.side,
        f"{change.rank_a:g}",
        f"{change.rank_b:g}",
        str(change.num_candidates),
        proof[change.proved_a, change.proved_b],
    )


def _group_cells(name: str, group: GroupDifference) -> tuple[str, ...]:
    counts = (str(group.better), str(group.worse), str(group.triples))
    return (name, *_metric_cells(group.metrics), *counts)


def _metric_cells(metrics: dict[str, Difference]) -> tuple[str, ...]:
    mrr = metrics["mrr"]
    interval = "-" if mrr.low is None or mrr.high is None else f"{mrr.low:+.4f} to {mrr.high:+.4f}"
    hits = (
        f"{metrics[name].difference:+.3f}{_mark(metrics[name])}" for name in ("hits@1", "hits@3", "hits@10")
    )
    return (f"{mrr.a:.4f}", f"{mrr.b:.4f}", f"{mrr.difference:+.4f}{_mark(mrr)}", interval, *hits)


def _mark(difference: Difference) -> str:
    if difference.changed and difference.rests_on_few:
        return "?"
    return "*" if difference.is_worse or difference.is_better else " "


def _interval(comparison: Comparison, difference: Difference) -> str:
    if difference.low is None or difference.high is None:
        return "no interval of a single triple"
    note = ", of few changes" if difference.changed and difference.rests_on_few else ""
    share = f"{100 * comparison.confidence:g}"
    return f"{share} % interval {difference.low:+.4f} to {difference.high:+.4f}{note}"
