"""Fits the weights of hybrid scores to a split, in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from proofrank.arguments import check_loaded, loaded_embedding
from proofrank.core.embedding import ScoreSource
from proofrank.core.errors import RankingError
from proofrank.core.evaluator import create_evaluator, settings_for
from proofrank.core.evaluator.artifacts import default_cache_folder
from proofrank.core.graph import Dataset
from proofrank.core.hybrid import EmbeddingIdentity, FittedBeam
from proofrank.core.policy import Policy
from proofrank.core.ranking import (
    Corruptor,
    LazyQueries,
    candidates_of,
    pruning_of,
    rank_queries,
    sample_triples,
    sides_of,
)
from proofrank.core.ranking.hybrid_fit import TIES, HybridFit, fit_weights
from proofrank.in_process import Progress, beam_of, number_of, progress_of

FIT_SPLITS = ("valid", "train")
"""Splits that weights may be fitted to; figures of test would no longer judge them."""


def fit_hybrid(
    dataset: Dataset,
    policy: Policy,
    embedding: str | Path | ScoreSource,
    *,
    split: str = "valid",
    queries: int | None = None,
    corruptions: int | Literal["all"] = 50,
    side: str = "both",
    filtered: bool = True,
    ties: str = "realistic",
    by_relation: bool = False,
    seed: int = 0,
    engine: str = "auto",
    device: str | None = None,
    prover: Mapping[str, int | bool] | None = None,
    beam: int = 1,
    beam_score: str = "max",
    processes: int = 1,
    cache_folder: Path | None = None,
    progress: bool | Progress = False,
) -> HybridFit:
    """Fits the weights of hybrid scores by MRR, and says what they gain.

    Args:
        dataset: the graph.
        policy: the policy; it must fit the graph.
        embedding: the embedding: its path, or what :func:`load_embedding` gives.
        split: the triples to fit to: ``valid`` or ``train``. ``test`` is refused, for it judges the result.
        queries: size of a seeded sample of the split; None for all.
        corruptions: number of corruptions for each triple and side, or ``"all"``.
        side: the constant to replace: ``head``, ``tail`` or ``both``.
        filtered: whether corruptions that are known triples are left out.
        ties: the rank that counts among equal scores: ``optimistic``, ``realistic`` or ``pessimistic``.
        by_relation: whether relations with 20 rankings or more have weights of their own.
        seed: seed of every draw.
        engine: name of the engine; ``auto`` takes the one that fits the device.
        device: where to compute, as torch names it; CUDA where there is one by default.
        prover: prover settings that differ from those the policy was trained under.
        beam: number of trajectories of a candidate, whose score takes the place of the log-probability; 1 is the greedy
            one. The weights are for the same beam.
        beam_score: how several proofs of a candidate make its score: ``max``, ``logsumexp`` or ``noisy-or``.
        processes: how many processes may take part in a long evaluation on a CPU, this one included.
        cache_folder: where least models are kept; by default where :func:`evaluate` keeps them.
        progress: True for a progress bar on standard error, or a function that is told (done, total) candidates.

    Raises:
        ProofrankError: an option is wrong or there is nothing to rank.
        EmbeddingError: the embedding cannot be read, or lacks a name of the graph.
        PolicyError: the policy does not fit the graph.
        EvaluationError: the engine is unknown, proves no beams, or cannot evaluate this graph exactly; or ``beam`` or
            ``beam_score`` is out of its range.
    """
    check_loaded(dataset, policy)
    searched = beam_of(beam, beam_score)
    if split not in FIT_SPLITS:
        reason = "; test judges the weights, so they must not be fitted to it" if split == "test" else ""
        raise RankingError(f"split is {split!r}; expected {' or '.join(FIT_SPLITS)}{reason}")
    if ties not in TIES:
        raise RankingError(f"ties is {ties!r}; to fit weights, expected one of {', '.join(TIES)}")
    triples = list(dataset.splits[split])
    if not triples:
        raise RankingError(f"split {split!r} of dataset {dataset.name!r} has no triples to rank")
    if queries is not None:
        triples = sample_triples(triples, queries, seed)
    source = loaded_embedding(embedding)
    scorer = source.scorer(dataset, device)
    corruptor = Corruptor(dataset, number=number_of(corruptions), is_filtered=filtered, seed=seed)
    work = LazyQueries(triples, [sides_of(side)] * len(triples), corruptor)
    drawn = work.all_queries()
    scores = scorer.scores(candidates_of(drawn).triples)
    evaluator = create_evaluator(
        engine,
        dataset,
        policy,
        settings_for(policy, prover),
        device=device,
        processes=processes,
        beam=searched,
    )
    pruning = pruning_of("exact", dataset, cache_folder or default_cache_folder())
    total = sum(query.num_candidates for query in drawn)
    with progress_of(progress, total) as on_done:
        ranked = rank_queries(evaluator, drawn, seed=seed, on_progress=on_done, pruning=pruning)
    fitted = fit_weights(ranked, scores, dataset, ties=ties, by_relation=by_relation, seed=seed)
    return dataclasses.replace(
        fitted,
        embedding=EmbeddingIdentity(source.name, source.content_hash),
        beam=FittedBeam(searched.width, searched.score),
    )
