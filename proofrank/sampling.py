"""Sampled trajectories in this process: how often the policy proves a triple if it draws its actions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proofrank.arguments import check_loaded, triples_by_index
from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator import EvaluatorOptions, settings_for
from proofrank.core.evaluator.engines import usable_device
from proofrank.core.evaluator.sampling import SamplingEvaluator
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import Candidate
from proofrank.in_process import Progress, progress_of


@dataclass(frozen=True)
class SampledTriple:
    """How many of a triple's sampled trajectories are proofs.

    Attributes:
        head: name of its first constant.
        relation: name of its predicate.
        tail: name of its second constant.
        samples: number of trajectories.
        proved: number of those that are proofs.
        share: ``proved / samples``.
        low: lower end of the Wilson interval of the probability of a proof.
        high: upper end.
    """

    head: str
    relation: str
    tail: str
    samples: int
    proved: int
    share: float
    low: float
    high: float


def sample(
    dataset: Dataset,
    policy: Policy,
    triples: Iterable[tuple[str, str, str]],
    *,
    samples: int = 100,
    seed: int = 0,
    confidence: float = 0.95,
    prover: Mapping[str, int | bool] | None = None,
    device: str | None = None,
    progress: bool | Progress = False,
) -> tuple[SampledTriple, ...]:
    """Draws trajectories of triples, and says how many of them are proofs.

    The draws of a triple depend on the seed and the triple alone: neither on the other triples nor on the number of
    samples, which adds to the same ones. A triple of the graph is taken as the positive of its query, and is not used
    as a fact in its own proof.

    Args:
        dataset: the graph.
        policy: the policy; it must fit the graph.
        triples: names (head, relation, tail).
        samples: number of trajectories of each.
        seed: seed of all draws.
        confidence: share of such intervals that hold the probability of a proof.
        prover: prover settings that differ from those the policy was trained under.
        device: where to compute, as torch names it; CUDA where there is one by default.
        progress: True for a progress bar on standard error, or a function that is told (done, total) triples.

    Raises:
        UnknownNameError: a name is unknown; the nearest known names are in the error.
        PolicyError: the policy does not fit the graph.
        EvaluationError: an argument is out of its range, or a triple cannot be evaluated exactly.
    """
    check_loaded(dataset, policy)
    if not 0.0 < confidence < 1.0:
        raise EvaluationError(f"confidence is {confidence!r}; expected a number between 0 and 1")
    by_index = triples_by_index(dataset, triples)
    candidates = [Candidate(triple, is_positive=tuple(triple) in dataset.facts) for triple in by_index]
    options = EvaluatorOptions(device=usable_device(device))
    evaluator = SamplingEvaluator(dataset, policy, settings_for(policy, prover), options, seed=seed)
    with progress_of(progress, len(candidates), "triples") as on_progress:
        shares = evaluator.sample(candidates, samples, on_progress=on_progress)
    found: list[SampledTriple] = []
    for triple, share in zip(by_index, shares, strict=True):
        head, relation, tail = dataset.names(triple)
        low, high = share.interval(confidence)
        found.append(
            SampledTriple(head, relation, tail, share.num_samples, share.num_proved, share.share, low, high)
        )
    return tuple(found)
