"""Evaluation in this process: load a dataset and a policy, rank a split, see a proof; no server, no HTTP.

    dataset = proofrank.load_dataset("data/family")
    policy = proofrank.load_policy("policies/family", dataset)
    report = proofrank.evaluate(dataset, policy, split="valid", corruptions=100)
    print(report.metrics.mrr)

The numbers are those that ``proofrank evaluate`` prints for the same options. torch's number of threads stays as the
caller has set it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from proofrank.arguments import check_loaded, loaded_embedding, triple_by_index, triples_by_index
from proofrank.core.choices import HITS_AT, SPLITS, unused_pruning
from proofrank.core.comparison import Identity, Protocol, Rankings, ScoredBy
from proofrank.core.embedding import ScoreSource
from proofrank.core.errors import ProofrankError, RankingError
from proofrank.core.evaluator import ReferenceEvaluator, create_evaluator, render_proof, settings_for
from proofrank.core.evaluator import explain as explain_candidate
from proofrank.core.evaluator.artifacts import default_cache_folder
from proofrank.core.formats.warnings import DatasetWarning
from proofrank.core.graph import Dataset, Triple, load_other_graph
from proofrank.core.metric_names import checked_hits_at
from proofrank.core.policy import Policy, carried_over
from proofrank.core.protocol_rules import settled
from proofrank.core.protocols import check_tolerance_of, corruptor_of, protocol_fields
from proofrank.core.prover import Candidate
from proofrank.core.prover.beam_reference import BeamReferenceProver
from proofrank.core.prover.beams import Beam
from proofrank.core.rank_metrics import RankMetrics
from proofrank.core.ranking import (
    PROOF_SCORING,
    TIE_POLICIES,
    Hybrid,
    LazyQueries,
    Metrics,
    PruningCounts,
    Query,
    RankedQuery,
    Report,
    ReportTally,
    Scoring,
    check_tolerance,
    make_scoring,
    pruning_of,
    rank_queries,
    read_hybrid,
    sides_of,
)
from proofrank.core.ranking.pruning import pruning_level
from proofrank.frames import frame_of
from proofrank.interval_evaluation import (
    NO_ENGINE,
    IntervalEvaluation,
    depths_beside,
    interval_evaluation,
    with_note,
)

if TYPE_CHECKING:
    import pandas

_CANDIDATES_AT_ONCE = 50_000
"""Number of candidates in memory at which they are proved: the rest of a large split is drawn afterwards."""

NamedTriple = tuple[str, str, str]
"""The names of a triple: (head, relation, tail)."""

EmbeddingSource = str | Path | ScoreSource
"""An embedding, or its path."""

HybridSource = str | Path | Mapping[str, Any] | Hybrid
"""Weights of hybrid scores, or the path of their file."""

Progress = Callable[[int, int], None]
"""Is told how many candidates are done, and how many there are."""


@dataclass(frozen=True)
class TripleRanking:
    """One triple, ranked on one side.

    Attributes:
        query_index: the triple's place among those ranked, from 0; its two sides share it.
        head: name of its first constant.
        relation: name of its predicate.
        tail: name of its second constant.
        side: the side that its corruptions replace, ``head`` or ``tail``.
        rank: the rank under the report's ``ties``; 1 is best.
        reciprocal_rank: 1 / rank.
        rank_optimistic: the best rank among equal scores.
        rank_realistic: the mean of optimistic and pessimistic.
        rank_pessimistic: the worst rank among equal scores.
        rank_random: the rank in one seeded random order of equal scores.
        score: of the triple, by which it is ranked: its log-probability, less 100 where it was not proved; with another
            ``scoring`` what that says.
        log_probability: of its trajectory.
        proved: whether it was proved.
        steps: how many steps its trajectory took.
        num_candidates: how many candidates were ranked, the triple included.
        embedding_score: the embedding's score of the triple; None with scoring ``proof``.
    """

    query_index: int
    head: str
    relation: str
    tail: str
    side: str
    rank: float
    reciprocal_rank: float
    rank_optimistic: int
    rank_realistic: float
    rank_pessimistic: int
    rank_random: int
    score: float
    log_probability: float
    proved: bool
    steps: int
    num_candidates: int
    embedding_score: float | None = None


@dataclass(frozen=True)
class EvaluationReport:
    """The metrics of an evaluation, and its rankings.

    Attributes:
        metrics: over all rankings.
        by_side: the metrics of each side.
        by_relation: the metrics of each relation, by its name.
        by_depth: the metrics of the triples whose proofs need as many steps, by their number, and of those without a
            proof; empty where the dataset's folder has no file of depths.
        rankings: one for each triple and side, in order.
        dataset: name of the dataset.
        policy: name of the policy.
        engine: name of the engine that ran.
        dataset_sha256: content hash of the dataset.
        policy_sha256: content hash of the policy.
        warnings: what is probably wrong in the dataset's files.
        pruning: the level of pruning: ``none``, ``exact`` or ``ranks``.
        pruning_counts: how many candidates took their course, and how many were left out or ended early.
        protocol: how it ranked: split, side, corruptions, filtered, ties, seed, scoring, and the name of the protocol.
        scoring: what the scores are: their ``kind``, and if it is not ``proof``, the ``embedding`` (``name``,
            ``sha256`` and ``kind``), the ``weights`` of hybrid scores, and whose they are: ``weights_from`` is
            ``given``, ``policy`` or ``default``.
        pruning_note: why the level of pruning that was asked for has no use, where it has none; else None.
    """

    metrics: Metrics
    by_side: dict[str, Metrics]
    by_relation: dict[str, Metrics]
    rankings: tuple[TripleRanking, ...]
    dataset: str
    policy: str
    engine: str
    dataset_sha256: str
    policy_sha256: str
    warnings: tuple[DatasetWarning, ...]
    pruning: str
    pruning_counts: PruningCounts
    protocol: Protocol
    by_depth: dict[str, Metrics] = field(default_factory=dict)
    scoring: Mapping[str, Any] = field(default_factory=lambda: PROOF_SCORING)
    pruning_note: str | None = None

    def to_dict(self, *, rankings: bool = False) -> dict[str, Any]:
        """The metrics, and what they are of, as ``proofrank evaluate --json`` writes them.

        Args:
            rankings: whether to add the rankings, as ``--rankings`` does.
        """
        return evaluation_to_dict(
            Report(self.metrics, self.by_side, self.by_relation, self.by_depth),
            dataset=(self.dataset, self.dataset_sha256),
            policy=(self.policy, self.policy_sha256),
            warnings=self.warnings,
            pruning=with_note(self.pruning_counts.to_dict(self.pruning), self.pruning_note),
            protocol=self.protocol,
            rankings=self.rankings if rankings else None,
            scoring=self.scoring,
        )

    def rank_metrics(self) -> RankMetrics:
        """The rankings, for many metrics by PyKEEN's names; a name without a type of rank means the report's ties."""
        return RankMetrics.of(map(vars, self.rankings), self.protocol.ties)

    def metric(self, name: str) -> float | None:
        """A metric of the rankings, such as ``adjusted_hits_at_10`` or ``macro.tail.mrr`` (``docs/protocols.md``).

        Raises:
            MetricNameError: there is no such metric.
            ProofrankError: no ranking is on the side that is named.
        """
        return self.rank_metrics().metric(name)

    def to_rankings(self) -> Rankings:
        """The rankings as columns, for a comparison."""
        return Rankings.of_rows(
            map(vars, self.rankings),
            label=f"policy {self.policy}",
            dataset=Identity(self.dataset, self.dataset_sha256),
            policy=Identity(self.policy, self.policy_sha256),
            protocol=self.protocol,
            pruning=self.pruning,
            scored_by=ScoredBy.of(self.scoring),
        )

    def to_frame(self) -> pandas.DataFrame:
        """The rankings as a DataFrame, one row each, with the columns of :class:`TripleRanking`.

        Raises:
            ProofrankError: pandas is not installed.
        """
        return frame_of(TripleRanking, self.rankings)


@dataclass(frozen=True)
class ProofReport:
    """The trajectory that a policy takes for one triple, or the proofs that it finds in several.

    Attributes:
        text: the proof as a tree, a goal a line; with a beam all proofs, the best first.
        proved: whether the triple was proved.
        score: its log-probability, less 100 where it was not proved.
        log_probability: sum over its steps; of several proofs together, as the beam's score says.
        steps: how many steps it took; with a beam, its best proof.
        proofs: with a beam, the text of each proof, the best first.
    """

    text: str
    proved: bool
    score: float
    log_probability: float
    steps: int
    proofs: tuple[str, ...] = ()


@overload
def evaluate(
    dataset: Dataset,
    policy: Policy,
    *,
    split: str = ...,
    triples: Iterable[NamedTriple] | None = ...,
    corruptions: int | Literal["all"] = ...,
    side: str = ...,
    filtered: bool = ...,
    ties: str = ...,
    seed: int = ...,
    engine: str = ...,
    device: str | None = ...,
    prover: Mapping[str, int | bool] | None = ...,
    pruning: str | None = ...,
    mrr_tolerance: None = None,
    beam: int = ...,
    beam_score: str = ...,
    processes: int = ...,
    progress: bool | Progress = ...,
    scoring: str = ...,
    embedding: EmbeddingSource | None = ...,
    hybrid: HybridSource | None = ...,
    hits_at: Sequence[int] = ...,
    protocol: str | None = ...,
    candidates_from: str | Path = ...,
    negatives: str | Path | None = ...,
    facts: str | Path | None = ...,
) -> EvaluationReport: ...
@overload
def evaluate(
    dataset: Dataset,
    policy: Policy,
    *,
    split: str = ...,
    triples: Iterable[NamedTriple] | None = ...,
    corruptions: int | Literal["all"] = ...,
    side: str = ...,
    filtered: bool = ...,
    ties: str = ...,
    seed: int = ...,
    engine: str = ...,
    device: str | None = ...,
    prover: Mapping[str, int | bool] | None = ...,
    pruning: str | None = ...,
    mrr_tolerance: float,
    beam: int = ...,
    beam_score: str = ...,
    processes: int = ...,
    progress: bool | Progress = ...,
    scoring: str = ...,
    embedding: EmbeddingSource | None = ...,
    hybrid: HybridSource | None = ...,
    hits_at: Sequence[int] = ...,
    protocol: str | None = ...,
    candidates_from: str | Path = ...,
    negatives: str | Path | None = ...,
    facts: str | Path | None = ...,
) -> IntervalEvaluation: ...
def evaluate(
    dataset: Dataset,
    policy: Policy,
    *,
    split: str = "test",
    triples: Iterable[NamedTriple] | None = None,
    corruptions: int | Literal["all"] = 50,
    side: str = "both",
    filtered: bool = True,
    ties: str = "realistic",
    seed: int = 0,
    engine: str = "auto",
    device: str | None = None,
    prover: Mapping[str, int | bool] | None = None,
    pruning: str | None = None,
    mrr_tolerance: float | None = None,
    beam: int = 1,
    beam_score: str = "max",
    processes: int = 1,
    progress: bool | Progress = False,
    scoring: str = "proof",
    embedding: EmbeddingSource | None = None,
    hybrid: HybridSource | None = None,
    hits_at: Sequence[int] = HITS_AT,
    protocol: str | None = None,
    candidates_from: str | Path = "domains",
    negatives: str | Path | None = None,
    facts: str | Path | None = None,
) -> EvaluationReport | IntervalEvaluation:
    """Ranks the triples of a split against corrupted copies of themselves.

    Args:
        dataset: the graph.
        policy: the policy to judge; it must fit the graph.
        split: the triples to rank: ``train``, ``valid`` or ``test``.
        triples: triples to rank instead of a split, by names.
        corruptions: number of corruptions for each triple and side, or ``"all"``.
        side: the constant to replace: ``head``, ``tail`` or ``both``.
        filtered: whether corruptions that are known triples are left out.
        ties: the rank that counts among equal scores: ``optimistic``, ``realistic``, ``pessimistic`` or ``random``.
        seed: seed of the draw of corruptions and of random ties.
        engine: name of the engine; ``auto`` takes the one that fits the device.
        device: where to compute, as torch names it; CUDA where there is one by default.
        prover: prover settings that differ from those the policy was trained under, such as ``{"max_depth": 10}``.
        pruning: what may be left out, all ranks being the same: ``none``; ``exact``, which keeps every metric; or
            ``ranks``, which leaves the share of proved corruptions open. By default ``exact``, and ``ranks`` with
            ``mrr_tolerance``. With ``embedding`` it is ``none`` whatever is asked for, which ``pruning_note`` says.
        mrr_tolerance: proves candidates only until the MRR is certain to this much, such as 0.001, up and down. The
            answer holds an interval of each metric, and goes on with ``refine`` where a smaller one is wanted.
        beam: number of trajectories of a candidate; 1 is the greedy one alone.
        beam_score: how several proofs of a candidate make its score: ``max``, ``logsumexp`` or ``noisy-or``.
        processes: how many processes may take part in a long evaluation on a CPU, this one included.
        progress: True for a progress bar on standard error, or a function that is told (done, total) candidates.
        scoring: what a candidate's score is: ``proof``, its log-probability, less 100 where it was not proved;
            ``embedding``, the embedding's score, by which nothing is proved; or ``hybrid``, of both.
        embedding: the embedding of the last two: its path, or what :func:`load_embedding` gives.
        hybrid: the weights of ``hybrid``: a file that ``proofrank fit-hybrid`` wrote, a mapping such as
            ``{"weight": 1.0, "bonus": None, "penalty": 100.0}``, or a :class:`Hybrid`. By default those that are stored
            with the policy, or else those of the example.
        hits_at: the k of Hits@k: 1 to 20 whole numbers.
        protocol: name of a protocol, which settles corruptions, filtered, ties and candidates: ``filtered-all``,
            ``sampled-50``, ``ogb``, ``fixed-negatives`` or ``deepprooflog`` (``docs/protocols.md``).
        candidates_from: where candidates come from: the ``domains`` of the replaced constant, all ``entities``, those
            that the facts have with the relation (``relations``), or a file of candidates by relation.
        negatives: file of fixed negatives, for the protocols ``ogb`` and ``fixed-negatives``.
        facts: folder of another graph, with the same relations, to rank in: its facts, its triples, and the rules of
            ``dataset``. The policy must embed all constants alike.

    Raises:
        EmbeddingError: the embedding cannot be read, or lacks a name of the graph.
        ProofrankError: an option is wrong or there is nothing to rank.
        UnknownNameError: a name in ``triples`` is unknown.
        DatasetError: a file of candidates or negatives is not as expected; with the line.
        PolicyError: the policy does not fit the graph, or cannot be carried over to that of ``facts``.
        EvaluationError: the engine is unknown, proves no beams, or cannot evaluate this graph exactly; or ``beam`` or
            ``beam_score`` is out of its range.
    """
    check_loaded(dataset, policy)
    if ties not in TIE_POLICIES:
        raise RankingError(f"ties is {ties!r}; expected one of {', '.join(TIE_POLICIES)}")
    hits_at = checked_hits_at(hits_at)
    number_of(corruptions)
    rules = settled(
        protocol,
        corruptions=corruptions,
        filtered=filtered,
        ties=ties,
        candidates_from=str(candidates_from),
    )
    ties = rules.ties
    if facts is not None:
        dataset = load_other_graph(facts, dataset)
        policy = carried_over(policy, dataset)
    chosen = _chosen_triples(dataset, split, triples)
    on_sides = [sides_of(side)] * len(chosen)
    corruptor = corruptor_of(
        rules, dataset, seed, chosen, on_sides, None if negatives is None else Path(negatives)
    )
    splits = (split,) if triples is None else SPLITS
    work = LazyQueries(chosen, on_sides, corruptor)
    searched = beam_of(beam, beam_score)
    if mrr_tolerance is not None:
        check_tolerance(mrr_tolerance)
        check_tolerance_of(rules)
    if scoring == "embedding" and searched.width > 1:
        raise RankingError(f"scoring is {scoring!r}; with a beam of {beam} expected 'proof' or 'hybrid'")
    scores_by = scoring_of(scoring, embedding, hybrid, dataset, chosen, device, policy, searched)
    evaluator = None
    if scoring != "embedding":
        evaluator = create_evaluator(
            engine,
            dataset,
            policy,
            settings_for(policy, prover),
            device=device,
            processes=processes,
            beam=searched,
        )
    if mrr_tolerance is not None:
        evaluation = interval_evaluation(
            evaluator,
            dataset,
            policy,
            work,
            pruning=pruning,
            ties=ties,
            seed=seed,
            splits=splits,
            hits_at=hits_at,
            scoring=scores_by,
        )
        return evaluation.refine(mrr_tolerance, progress=progress)
    note = unused_pruning(pruning, scoring)
    pruning = pruning_level("exact" if pruning is None else pruning)
    if evaluator is None:  # nothing is proved, and so nothing left out
        pruning = "none"
    leaving_out = pruning_of(pruning, dataset, default_cache_folder())
    depths = depths_beside(dataset, chosen, splits)
    tally, counts = ReportTally(ties, hits_at), PruningCounts()
    rankings: list[TripleRanking] = []
    with progress_of(progress, _total(progress, work)) as on_done:
        num_done = 0
        for queries, num_candidates in _batches(work):
            before = num_done
            for ranked in rank_queries(
                evaluator,
                queries,
                seed=seed,
                on_progress=lambda done, before=before: on_done(before + done),
                pruning=leaving_out,
                scoring=scores_by,
            ):
                ranking = triple_ranking(ranked, dataset, ties)
                rankings.append(ranking)
                depth = None if depths is None else depths[ranked.query_index]
                tally.add(ranking.relation, ranked.summary, depth)
                if evaluator is not None:
                    counts += PruningCounts.of(ranked.outcomes)
            num_done += num_candidates
    report = tally.report(dataset.vocabulary.predicates)
    return EvaluationReport(
        metrics=report.overall,
        by_side=report.by_side,
        by_relation=report.by_relation,
        rankings=tuple(rankings),
        dataset=dataset.name,
        policy=policy.name,
        engine=NO_ENGINE if evaluator is None else evaluator.engine,
        dataset_sha256=dataset.content_hash,
        policy_sha256=policy.content_hash,
        warnings=dataset.warnings,
        pruning=pruning,
        pruning_counts=counts,
        protocol=Protocol(
            split=split if triples is None else None,
            limit=None,
            side=side,
            seed=seed,
            scoring=scoring,
            beam=beam,
            beam_score=beam_score,
            **protocol_fields(rules, corruptor),
        ),
        by_depth=report.by_depth,
        scoring=PROOF_SCORING if scores_by is None else scores_by.to_dict(),
        pruning_note=note,
    )


def scoring_of(
    kind: str,
    embedding: EmbeddingSource | None,
    hybrid: HybridSource | None,
    dataset: Dataset,
    triples: Sequence[Triple],
    device: str | None = None,
    policy: Policy | None = None,
    beam: Beam | None = None,
) -> Scoring | None:
    """The scoring that the options of :func:`evaluate` name; None for ``proof``.

    Args:
        kind: ``scoring``.
        embedding: as of :func:`evaluate`.
        hybrid: as of :func:`evaluate`.
        dataset: the graph.
        triples: that are ranked; their relations must have an embedding.
        device: where the embedding is computed.
        policy: whose weights score where ``hybrid`` gives none.
        beam: the trajectories that are scored; None for the greedy one.

    Raises:
        RankingError: the options do not go together, weights are wrong, or those of the policy were fitted with another
            embedding.
        EmbeddingError: the embedding is none, cannot be read, or lacks a name of the graph.
    """
    source = None if embedding is None else loaded_embedding(embedding)
    if isinstance(hybrid, (str, Path)):
        hybrid = read_hybrid(Path(hybrid))
    elif isinstance(hybrid, Mapping):
        hybrid = Hybrid.from_dict(hybrid)
    stored = None if policy is None else policy.hybrid
    scoring = make_scoring(kind, source, hybrid, dataset, device, stored=stored, beam=beam)
    if scoring is not None:
        scoring.scorer.check(triples)
    return scoring


def explain(
    dataset: Dataset,
    policy: Policy,
    triple: NamedTriple,
    *,
    prover: Mapping[str, int | bool] | None = None,
    beam: int = 1,
    beam_score: str = "max",
) -> ProofReport:
    """The proof that ``policy`` finds for ``triple``, or how it fails.

    A triple of the graph is taken as the positive of its query, and is not used as a fact in its own proof.

    Args:
        dataset: the graph.
        policy: the policy; it must fit the graph.
        triple: the names (head, relation, tail).
        prover: prover settings that differ from those the policy was trained under.
        beam: number of trajectories; the proofs among them are all shown.
        beam_score: as in :func:`evaluate`.

    Raises:
        UnknownNameError: a name is unknown; the nearest known names are in the error.
        PolicyError: the policy does not fit the graph.
        EvaluationError: the triple cannot be evaluated exactly, or a setting is wrong.
    """
    check_loaded(dataset, policy)
    by_index = triple_by_index(dataset, triple)
    reference = ReferenceEvaluator(dataset, policy, settings_for(policy, prover))
    # Only a known triple could prove itself; any other is judged as a corruption would be.
    candidate = Candidate(by_index, is_positive=tuple(by_index) in dataset.facts)
    searched = beam_of(beam, beam_score)
    if searched.width > 1:
        return _explain_beam(reference, dataset, candidate, searched)
    outcome = reference.prove(candidate)
    explanation = explain_candidate(reference.prover, reference.scorer, candidate, outcome.actions)
    return ProofReport(
        text=render_proof(explanation, dataset),
        proved=outcome.success,
        score=outcome.score,
        log_probability=outcome.log_probability,
        steps=outcome.steps,
    )


def _explain_beam(
    reference: ReferenceEvaluator, dataset: Dataset, candidate: Candidate, beam: Beam
) -> ProofReport:
    """The proofs of ``candidate``, or its most probable trajectory if there is none."""
    found = BeamReferenceProver(reference.prover).prove(candidate, reference.scorer, beam)
    outcome = found.outcome

    def text_of(actions: Sequence[int]) -> str:
        return render_proof(
            explain_candidate(reference.prover, reference.scorer, candidate, actions), dataset
        )

    proofs = tuple(text_of(proof.actions) for proof in found.proofs)
    of = (
        f"of {beam.width} trajectories"
        if len(found.trajectories) == beam.width
        else (f"of {len(found.trajectories)} trajectories, all that there are")
    )
    summary = f"{len(proofs)} {of} prove it; score {outcome.score:.4f} ({beam.score})"
    return ProofReport(
        text="\n\n".join([*(proofs or (text_of(outcome.actions),)), summary]),
        proved=outcome.success,
        score=outcome.score,
        log_probability=outcome.log_probability,
        steps=outcome.steps,
        proofs=proofs,
    )


def beam_of(beam: int, beam_score: str) -> Beam:
    """The beam of these arguments. Raises EvaluationError if one is out of its range."""
    return Beam(beam, beam_score)  # pyright: ignore[reportArgumentType]


def evaluation_to_dict(
    report: Report,
    *,
    dataset: tuple[str, str],
    policy: tuple[str, str],
    warnings: Iterable[DatasetWarning],
    pruning: dict[str, Any],
    protocol: Protocol,
    rankings: Iterable[TripleRanking] | None = None,
    scoring: Mapping[str, Any] = PROOF_SCORING,
) -> dict[str, Any]:
    """The form in which an evaluation is written as JSON, from Python and by the command alike.

    Args:
        report: the metrics.
        dataset: name and content hash.
        policy: name and content hash.
        warnings: what is probably wrong in the dataset's files.
        pruning: what was left out, as :meth:`PruningCounts.to_dict` gives it.
        protocol: how it ranked.
        rankings: the rankings, where they are written too.
        scoring: what the scores are.
    """
    return {
        **report.to_dict(),
        "dataset": {"name": dataset[0], "sha256": dataset[1]},
        "policy": {"name": policy[0], "sha256": policy[1]},
        "warnings": [warning.to_dict() for warning in warnings],
        "pruning": pruning,
        "protocol": protocol.to_dict(),
        "scoring": dict(scoring),
        **({} if rankings is None else {"results": list(map(vars, rankings))}),
    }


def _chosen_triples(dataset: Dataset, split: str, triples: Iterable[NamedTriple] | None) -> list[Triple]:
    if triples is not None:
        chosen = triples_by_index(dataset, triples)
        if not chosen:
            raise RankingError("triples is empty; expected at least one (head, relation, tail)")
        return chosen
    if split not in SPLITS:
        raise RankingError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
    if not dataset.splits[split]:
        raise RankingError(f"split {split!r} of dataset {dataset.name!r} has no triples to rank")
    return list(dataset.splits[split])


def number_of(corruptions: int | str) -> int | None:
    """The number of corruptions to draw; None for all. Raises RankingError for what is neither a number nor ``all``."""
    if corruptions == "all":
        return None
    if type(corruptions) is not int or corruptions < 0:
        raise RankingError(f"corruptions is {corruptions!r}; expected a whole number, 0 or more, or 'all'")
    return corruptions


def _batches(work: LazyQueries) -> Iterator[tuple[Sequence[Query], int]]:
    """The queries in parts of some ``_CANDIDATES_AT_ONCE`` candidates, each with their number."""
    queries: list[Query] = []
    num_candidates = 0
    for index in range(len(work.triples)):
        drawn = work.queries(index)
        queries += drawn
        num_candidates += sum(query.num_candidates for query in drawn)
        if num_candidates >= _CANDIDATES_AT_ONCE:
            yield queries, num_candidates
            queries, num_candidates = [], 0
    if queries:
        yield queries, num_candidates


def _total(progress: bool | Progress, work: LazyQueries) -> int:
    """Number of all candidates; 0 without progress."""
    return 0 if progress is False else sum(work.num_candidates(index) for index in range(len(work.triples)))


@contextmanager
def progress_of(
    progress: bool | Progress, total: int, what: str = "candidates"
) -> Iterator[Callable[[int], None]]:
    """A function to tell the number of candidates, or ``what``, done, of ``total``, as the caller asked to be shown.

    Raises:
        ProofrankError: a bar is asked for, and rich is not installed.
    """
    if progress is False:
        yield lambda done: None
        return
    if progress is not True:
        yield lambda done: progress(done, total)
        return
    try:
        from rich.console import Console

        from proofrank.service.terminal.progress import progress_bar
    except ImportError as error:
        raise ProofrankError("progress=True needs rich: pip install rich") from error
    with progress_bar(Console(stderr=True), what, total) as on_done:
        yield on_done


def triple_ranking(ranked: RankedQuery, dataset: Dataset, ties: str) -> TripleRanking:
    """A ranked query under its names, with the rank that counts under ``ties``."""
    head, relation, tail = dataset.names(ranked.query)
    positive = ranked.outcomes[0]
    rank = ranked.ranks.by(ties)
    return TripleRanking(
        query_index=ranked.query_index,
        head=head,
        relation=relation,
        tail=tail,
        side=ranked.side,
        rank=rank,
        reciprocal_rank=1 / rank,
        rank_optimistic=ranked.ranks.optimistic,
        rank_realistic=ranked.ranks.realistic,
        rank_pessimistic=ranked.ranks.pessimistic,
        rank_random=ranked.ranks.random,
        score=ranked.positive_score,
        log_probability=positive.log_probability,
        proved=positive.success,
        steps=positive.steps,
        num_candidates=ranked.ranks.num_candidates,
        embedding_score=None if ranked.embedding is None else float(ranked.embedding[0]),
    )
