"""The objectives of a measurement at saturation, and by how much they were missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from load.saturation import Figures


@dataclass(frozen=True)
class Objectives:
    """The maximum of each figure.

    Attributes:
        ratio: p50 of single queries beside a large request over p50 on the idle server.
        cost: share of the evaluator's throughput that the server costs.
        error_share: share of requests neither answered nor refused, at each level of load and in the soak.
        growth_mib: growth of the server's memory, over each level and over the soak.
    """

    ratio: float = 3.0
    cost: float = 0.1
    error_share: float = 0.0
    growth_mib: float = 64.0

    def misses(self, figures: Figures) -> list[str]:
        """Returns a line for each missed objective, with the figure and its maximum."""
        return [
            f"{name} is {figure:.{digits}f}{unit}, expected at most {most:g}{unit}"
            for name, figure, most, digits, unit in self._judged(figures)
            # A figure of NaN, because nothing was answered, misses every maximum.
            if not figure <= most
        ]

    def _judged(self, figures: Figures) -> Iterator[tuple[str, float, float, int, str]]:
        """Yields each figure with its name, its maximum, the digits to show, and its unit."""
        ratio = figures.fairness.ratio
        yield "ratio of p50 beside a large request", ratio, self.ratio, 2, ""
        yield "cost of the server", 100 * figures.throughput.cost, 100 * self.cost, 1, " %"
        for level in figures.levels:
            at = f"at {level.share:.0%} of saturation"
            yield f"share of errors {at}", level.error_share, self.error_share, 4, ""
            yield f"growth of memory {at}", level.growth_mib, self.growth_mib, 1, " MiB"
        if figures.soak is not None:
            load = figures.soak.load
            yield "share of errors in the soak", load.error_share, self.error_share, 4, ""
            yield "growth of memory in the soak", figures.soak.growth_mib, self.growth_mib, 1, " MiB"
