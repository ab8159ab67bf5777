"""The end of a load run as a table, and the check of the objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from load.tally import Tally


@dataclass(frozen=True)
class Objective:
    """The objective of a run; None for what does not matter.

    Attributes:
        most_p95_ms: 95th percentile of the answered single queries' times.
        most_errors: share of all requests that are neither answered nor refused.
        most_refusals: share of the single queries that are refused.
        least_rate: single queries answered a second.
    """

    most_p95_ms: float | None = None
    most_errors: float | None = None
    most_refusals: float | None = None
    least_rate: float | None = None

    def misses(self, tally: Tally, of_all: Tally) -> list[str]:
        """Returns a text for each missed part; a run without an answered single query misses any objective.

        Args:
            tally: answers to the single queries.
            of_all: answers to all requests.
        """
        if not tally.num_ok:
            return ["no single query was answered"]
        refusals = sum(answer.is_refused for answer in tally.answers) / len(tally.answers)
        rate = tally.num_ok / tally.elapsed
        p95 = tally.quantiles.p95 * 1000
        missed: list[str] = []
        if self.most_p95_ms is not None and p95 > self.most_p95_ms:
            missed.append(f"p95 is {p95:.1f} ms, expected at most {self.most_p95_ms:g} ms")
        if self.most_errors is not None and of_all.error_share > self.most_errors:
            missed.append(
                f"share of errors is {of_all.error_share:.4f}, expected at most {self.most_errors:g}"
            )
        if self.most_refusals is not None and refusals > self.most_refusals:
            missed.append(f"share of refusals is {refusals:.4f}, expected at most {self.most_refusals:g}")
        if self.least_rate is not None and rate < self.least_rate:
            missed.append(f"rate is {rate:.2f} a second, expected at least {self.least_rate:g}")
        return missed


def summary_lines(tally: Tally) -> list[str]:
    """Returns the whole run as lines of Markdown."""
    seconds = tally.elapsed
    lines = table(
        ("endpoint", "requests", "a second", "p50 ms", "p95 ms", "p99 ms", "by status"),
        [_row(tally.of(endpoint), endpoint, seconds) for endpoint in tally.endpoints],
    )
    if seconds:
        lines.append("")
        lines.append(f"all answers by status: {_by_status(tally)}")
        lines.append(
            f"{tally.queries / seconds:.2f} queries and {tally.candidates / seconds:.1f} candidates a second, "
            f"over {seconds:.1f} s; {tally.num_given_up} requests were not answered when the run ended"
        )
    return lines


def _row(tally: Tally, endpoint: str, seconds: float) -> list[str]:
    quantiles = tally.quantiles
    return [
        endpoint,
        str(len(tally.answers)),
        f"{len(tally.answers) / seconds:.2f}" if seconds else "-",
        *(milliseconds(value) for value in (quantiles.p50, quantiles.p95, quantiles.p99)),
        _by_status(tally),
    ]


def _by_status(tally: Tally) -> str:
    return ", ".join(f"{status}: {number}" for status, number in tally.statuses.items())


def milliseconds(seconds: float) -> str:
    """Writes a time for a table."""
    return "-" if math.isnan(seconds) else f"{seconds * 1000:.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns a Markdown table, line by line."""
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
