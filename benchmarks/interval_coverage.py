"""How often the intervals of ``proofrank compare`` hold the true difference, and those of other bootstraps.

    python -m benchmarks.interval_coverage --pairs 1000

Pairs of evaluations are drawn from four populations whose true differences are known. In each, triples have a
difficulty, which both sides share, and one of four relations, of which the rarest has one triple in ten.
docs/comparing.md has the table.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from proofrank.core.comparison import Comparison, Identity, Protocol, Rankings, compare_rankings
from proofrank.core.comparison.bootstrap import interval, means_of_counts, resampled_means, student_quantile

RELATIONS = ("common", "frequent", "seldom", "rare")
_SHARES = (0.4, 0.3, 0.2, 0.1)
_LARGE = 400_000
"""Number of triples whose mean stands for the true difference."""

Ranks = tuple[np.ndarray, np.ndarray]
"""Ranks in A and B, ``[T, 2]`` each: of both sides of a triple."""


def _few_changed(generator: np.random.Generator, difficulty: np.ndarray, relation: np.ndarray) -> Ranks:
    """One side in seven is ranked anew; the rarest relation gets worse."""
    before = _ranks(generator, difficulty, relation)
    is_changed = generator.random(before.shape) < 0.15
    after = _ranks(generator, difficulty + 0.3 * (relation == 3) - 0.2, relation)
    return before, np.where(is_changed, after, before)


def _all_changed(generator: np.random.Generator, difficulty: np.ndarray, relation: np.ndarray) -> Ranks:
    """Every rank is drawn anew."""
    return _ranks(generator, difficulty, relation), _ranks(generator, difficulty - 0.1, relation)


def _some_lost(generator: np.random.Generator, difficulty: np.ndarray, relation: np.ndarray) -> Ranks:
    """One easy triple in seven loses its proof, and so both of its ranks."""
    before = _ranks(generator, difficulty, relation)
    is_lost = (difficulty < -0.5) & (generator.random(len(difficulty)) < 0.15)
    return before, np.where(is_lost[:, None], 20 * before, before)


def _low_ranks(generator: np.random.Generator, difficulty: np.ndarray, relation: np.ndarray) -> Ranks:
    """Most ranks are far from the first."""
    before = np.maximum(1, np.round(np.exp(3 + 1.5 * difficulty[:, None] + np.zeros((1, 2)))))
    moved = np.exp(0.3 * generator.normal(size=before.shape) - 0.1)
    return before, np.maximum(1, np.round(before * moved))


POPULATIONS: dict[str, Callable[[np.random.Generator, np.ndarray, np.ndarray], Ranks]] = {
    "few changed": _few_changed,
    "all changed": _all_changed,
    "some lost": _some_lost,
    "low ranks": _low_ranks,
}


def _ranks(generator: np.random.Generator, difficulty: np.ndarray, relation: np.ndarray) -> np.ndarray:
    noise = generator.normal(size=(len(difficulty), 2))
    place = 1 + 0.3 * relation[:, None] + 1.2 * difficulty[:, None] + 0.5 * noise
    return np.maximum(1.0, np.round(np.exp(place)))


def drawn(generator: np.random.Generator, population: str, num_triples: int) -> tuple[np.ndarray, Ranks]:
    """Relations ``[T]`` and ranks of a sample."""
    relation = generator.choice(len(RELATIONS), size=num_triples, p=_SHARES)
    difficulty = generator.normal(size=num_triples)
    return relation, POPULATIONS[population](generator, difficulty, relation)


def metrics_of(ranks: np.ndarray) -> np.ndarray:
    """``[T, 2, 4]``: reciprocal rank and hits at 1, 3 and 10."""
    return np.stack([1 / ranks, *(np.where(ranks <= k, 1.0, 0.0) for k in (1, 3, 10))], axis=2)


def true_differences(population: str) -> tuple[np.ndarray, np.ndarray]:
    """Difference of each metric ``[4]`` over all, and with each relation alike."""
    relation, (a, b) = drawn(np.random.default_rng(0), population, _LARGE)
    differences = (metrics_of(b) - metrics_of(a)).mean(axis=1)
    of_relations = np.stack(
        [differences[relation == number].mean(axis=0) for number in range(len(RELATIONS))]
    )
    return np.array(_SHARES) @ of_relations, of_relations.mean(axis=0)


def compared(generator: np.random.Generator, population: str, num_triples: int, resamples: int) -> Comparison:
    """A comparison of two evaluations of a sample."""
    relation, (a, b) = drawn(generator, population, num_triples)
    triples = [(f"h{number}", RELATIONS[relation[number]], "t") for number in range(num_triples)]
    evaluations = [
        Rankings(
            label=label,
            dataset=Identity("simulated", "0"),
            policy=Identity(label, label),
            protocol=Protocol("test", None, "both", "all", True, "realistic", 0),
            pruning="none",
            triples=tuple(triple for triple in triples for _ in range(2)),
            sides=("head", "tail") * num_triples,
            ranks=ranks.ravel(),
            num_candidates=np.full(2 * num_triples, 10_000),
            is_proved=np.ones(2 * num_triples, dtype=bool),
        )
        for label, ranks in (("A", a), ("B", b))
    ]
    return compare_rankings(*evaluations, resamples=resamples, seed=int(generator.integers(2**31)))


def _other_intervals(
    sums: np.ndarray, generator: np.random.Generator, resamples: int
) -> dict[str, np.ndarray]:
    """``[2, 4]`` for each method, of sums ``[T, 4]`` over the two sides of triples."""
    num_triples = len(sums)
    sizes = np.full(num_triples, 2)
    ours = interval(resampled_means(sums, sizes, generator, resamples), 0.95, num_triples - 1)
    draws = generator.integers(num_triples, size=(resamples, num_triples))
    counts = np.stack([np.bincount(row, minlength=num_triples) for row in draws])
    means = means_of_counts(counts, sums, sizes)
    estimate = sums.sum(axis=0) / (2 * num_triples)
    deviations = sums / 2 - estimate
    error = deviations.std(axis=0, ddof=1) / math.sqrt(num_triples)
    half = student_quantile(0.975, num_triples - 1) * error
    return {
        "proofrank": ours,
        "percentiles": np.quantile(means, [0.025, 0.975], axis=0),
        "BCa": _bca(means, estimate, deviations),
        "Student, no bootstrap": np.stack([estimate - half, estimate + half]),
    }


def _bca(means: np.ndarray, estimate: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """Bias-corrected and accelerated bounds (Efron 1987)."""
    normal = NormalDist()
    bounds = np.tile(estimate, (2, 1))
    for column in range(len(estimate)):
        below = np.mean(means[:, column] < estimate[column]) + 0.5 * np.mean(
            means[:, column] == estimate[column]
        )
        squares = float((deviations[:, column] ** 2).sum())
        if not 0 < below < 1 or not squares:
            continue
        bias = normal.inv_cdf(float(below))
        acceleration = float((deviations[:, column] ** 3).sum()) / (6 * squares**1.5)
        for bound, level in enumerate((0.025, 0.975)):
            shifted = bias + normal.inv_cdf(level)
            corrected = normal.cdf(bias + shifted / (1 - acceleration * shifted))
            bounds[bound, column] = np.quantile(means[:, column], corrected)
    return bounds


def _holds(bounds: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return (bounds[0] - 1e-12 <= truth) & (truth <= bounds[1] + 1e-12)


def main(pairs: int, resamples: int, sizes: Sequence[int]) -> None:
    """Prints the share of intervals that hold the true difference."""
    for population in POPULATIONS:
        truth, _ = true_differences(population)
        for num_triples in sizes:
            generator = np.random.default_rng(1)
            held: dict[str, np.ndarray] = {}
            changed = np.zeros(4)
            for _ in range(pairs):
                _, (a, b) = drawn(generator, population, num_triples)
                sums = (metrics_of(b) - metrics_of(a)).sum(axis=1)
                changed += np.count_nonzero(sums, axis=0) / pairs
                for method, bounds in _other_intervals(sums, generator, resamples).items():
                    held[method] = held.get(method, np.zeros(4)) + _holds(bounds, truth) / pairs
            print(
                f"{population}, {num_triples} triples, of which change {np.round(changed).astype(int).tolist()}"
            )
            for method, shares in held.items():
                print(f"  {method:22} {'  '.join(f'{share:6.1%}' for share in shares)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[25, 50, 200])
    parsed = parser.parse_args()
    main(parsed.pairs, parsed.resamples, parsed.sizes)
