"""``filtered-all`` and ``sampled-N`` give the numbers of PyKEEN's evaluators from the same scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from proofrank.core.choices import Side
from proofrank.core.errors import DatasetError, RankingError
from proofrank.core.graph import Dataset
from proofrank.core.protocols import CandidatesByRelation, read_candidates
from proofrank.core.ranking import RankedQuery, aggregate
from tests.core.protocols.scored import (
    BOTH,
    NUM_ENTITIES,
    completed,
    drawn_graph,
    known,
    mean_reciprocal,
    ranked_by,
    score,
)
from tests.helpers.datasets import DatasetMaker


@pytest.fixture(scope="module")
def graph(make_dataset: DatasetMaker) -> Dataset:
    """A graph whose domains a protocol over all entities must not see."""
    return drawn_graph(make_dataset, domains=True)


def realistic_ranks(dataset: Dataset, side: Side) -> list[float]:
    """The ranks among all entities, filtered, counted one by one."""
    ranks = []
    for triple in dataset.splits["test"]:
        others = [completed(triple, side, constant) for constant in range(1, NUM_ENTITIES + 1)]
        scores = [score(other) for other in others if other not in known(dataset)]
        own = score(triple)
        ranks.append(1 + sum(s > own for s in scores) + sum(s == own for s in scores) / 2)
    return ranks


def test_filtered_all_ranks_among_all_entities_that_make_no_known_triple(graph: Dataset) -> None:
    ranked = ranked_by("filtered-all", graph)
    for side in BOTH:
        assert [one.ranks.realistic for one in ranked if one.side == side] == realistic_ranks(graph, side)
    expected = mean_reciprocal([rank for side in BOTH for rank in realistic_ranks(graph, side)])
    assert aggregate(ranked).mrr == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("number", [5, 30])
def test_sampled_ranks_among_so_many_drawn_entities(graph: Dataset, number: int) -> None:
    ranked = ranked_by(f"sampled-{number}", graph, seed=3)
    everything = {(one.query, one.side): one for one in ranked_by("filtered-all", graph)}
    ranks = []
    for one in ranked:
        whole = everything[one.query, one.side].constants.tolist()
        assert len(one.constants) == len(set(one.constants.tolist())) == number
        assert set(one.constants.tolist()) <= set(whole)
        scores = [score(completed(one.query, one.side, constant)) for constant in one.constants]
        own = score(one.query)
        ranks.append(1 + sum(s > own for s in scores) + sum(s == own for s in scores) / 2)
    assert aggregate(ranked).mrr == pytest.approx(mean_reciprocal(ranks), abs=1e-12)


def test_a_query_has_the_same_sample_whatever_is_asked_beside_it_and_another_with_another_seed(
    graph: Dataset,
) -> None:
    both = {(one.query, one.side): one for one in ranked_by("sampled-5", graph, seed=1)}
    tails = ranked_by("sampled-5", graph, seed=1, sides=("tail",))
    assert all(np.array_equal(one.constants, both[one.query, "tail"].constants) for one in tails)
    others = ranked_by("sampled-5", graph, seed=2, sides=("tail",))
    assert not all(np.array_equal(one.constants, both[one.query, "tail"].constants) for one in others)


def ranks_of_pykeen(graph: Dataset, evaluator: Any, **options: Any) -> dict[tuple[str, str], np.ndarray]:
    """The ranks that a PyKEEN evaluator finds for the test triples by the same scores, by side and type."""
    from pykeen.models.mocks import FixedModel

    everything = range(1, NUM_ENTITIES + 1)

    class Scored(FixedModel):
        def score_t(self, hr_batch: Any, tails: Any = None, **_: Any) -> Any:
            rows = [[score((r + 1, h + 1, tail)) for tail in everything] for h, r in hr_batch.tolist()]
            return torch.tensor(rows, dtype=torch.float64)

        def score_h(self, rt_batch: Any, heads: Any = None, **_: Any) -> Any:
            rows = [[score((r + 1, head, t + 1)) for head in everything] for r, t in rt_batch.tolist()]
            return torch.tensor(rows, dtype=torch.float64)

    test = torch.tensor(
        [[triple.head - 1, triple.predicate - 1, triple.tail - 1] for triple in graph.splits["test"]]
    )
    evaluator.evaluate(
        model=Scored(triples_factory=factory_of(graph)),
        mapped_triples=test,
        batch_size=16,
        use_tqdm=False,
        **options,
    )
    return {key: np.concatenate(values) for key, values in evaluator.ranks.items()}


def factory_of(graph: Dataset) -> Any:
    """The known triples as PyKEEN has them: counted from 0."""
    from pykeen.triples import CoreTriplesFactory

    triples = [[triple.head - 1, triple.predicate - 1, triple.tail - 1] for triple in sorted(known(graph))]
    return CoreTriplesFactory.create(torch.tensor(triples), num_entities=NUM_ENTITIES, num_relations=2)


def assert_ranks(ranked: list[RankedQuery], theirs: dict[tuple[str, str], np.ndarray]) -> None:
    """Asserts that all ranks are theirs, and so the MRR."""
    for rank_type in ("optimistic", "realistic", "pessimistic"):
        for side in BOTH:
            ours = [one.ranks.by(rank_type) for one in ranked if one.side == side]
            assert ours == theirs[side, rank_type].tolist()
        expected = mean_reciprocal([rank for side in BOTH for rank in theirs[side, rank_type].tolist()])
        assert aggregate(ranked, rank_type).mrr == pytest.approx(expected, abs=1e-12)


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:Encountered type:UserWarning:pykeen")
def test_filtered_all_is_pykeens_filtered_evaluation(graph: Dataset) -> None:
    evaluation = pytest.importorskip("pykeen.evaluation", reason="PyKEEN is not installed")
    evaluator = evaluation.RankBasedEvaluator(filtered=True, clear_on_finalize=False)
    theirs = ranks_of_pykeen(graph, evaluator, additional_filter_triples=factory_of(graph).mapped_triples)
    assert_ranks(ranked_by("filtered-all", graph), theirs)


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:Encountered type:UserWarning:pykeen")
def test_sampled_is_pykeens_evaluation_with_the_same_negatives(graph: Dataset) -> None:
    evaluation = pytest.importorskip("pykeen.evaluation", reason="PyKEEN is not installed")
    from pykeen.triples import CoreTriplesFactory

    ranked = ranked_by("sampled-20", graph)
    negatives = {
        side: torch.tensor(np.stack([one.constants for one in ranked if one.side == side]) - 1)
        for side in BOTH
    }
    test = torch.tensor(
        [[triple.head - 1, triple.predicate - 1, triple.tail - 1] for triple in graph.splits["test"]]
    )
    evaluator = evaluation.rank_based_evaluator.SampledRankBasedEvaluator(
        evaluation_factory=CoreTriplesFactory.create(test, num_entities=NUM_ENTITIES, num_relations=2),
        head_negatives=negatives["head"],
        tail_negatives=negatives["tail"],
        filtered=True,
        clear_on_finalize=False,
    )
    theirs = ranks_of_pykeen(graph, evaluator, additional_filter_triples=factory_of(graph).mapped_triples)
    assert_ranks(ranked, theirs)


# Candidates by relation


def test_candidates_of_a_relation_are_those_that_its_facts_have(graph: Dataset) -> None:
    facts = graph.splits["train"]
    for one in ranked_by(None, graph, corruptions="all", candidates_from="relations"):
        seen = {getattr(fact, one.side) for fact in facts if fact.predicate == one.query.predicate}
        expected = {
            constant for constant in seen if completed(one.query, one.side, constant) not in known(graph)
        }
        assert set(one.constants.tolist()) == expected
        assert len(one.constants) == len(expected)


def test_a_relation_without_facts_is_refused_for_any_rank_would_be_the_first(
    make_dataset: DatasetMaker,
) -> None:
    dataset = make_dataset(["p(a,b)."], ["p(X,Y) -> r(Y,X)"], test=["r(b,a)."])
    with pytest.raises(RankingError, match="no head of relation 'r' is in the facts"):
        ranked_by(None, dataset, candidates_from="relations")


def test_candidates_come_from_a_file(graph: Dataset, tmp_path: Any) -> None:
    path = tmp_path / "candidates.tsv"
    lines = [f"{r}\t{side}\te00\te01\te02\te03" for r in "pq" for side in BOTH]
    path.write_text("\n".join(lines) + "\n")
    ranked = ranked_by(None, graph, corruptions="all", candidates_from=str(path))
    names = {graph.vocabulary.argument_name(constant) for one in ranked for constant in one.constants}
    assert names == {"e00", "e01", "e02", "e03"}
    path.write_text("p\thead\te00\n")
    with pytest.raises(RankingError, match=r"is in .*candidates\.tsv"):
        ranked_by(None, graph, candidates_from=str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p\thead\n", r":1: too few columns"),
        ("p\tleft\te00\n", r":1: side 'left' .*expected head or tail"),
        ("p\thead\te00\np\thead\te01\n", r":2: .*second time"),
        ("p\thead\te00\nx\ttail\te01\n", r":2: unknown predicate 'x'"),
        ("p\thead\te00\te0\n", r":1: unknown constant 'e0'; did you mean"),
        ("p\thead\t\te01\n", r":1: an empty column"),
        ("", "no candidates in this file"),
    ],
)
def test_a_wrong_line_of_candidates_is_refused(
    graph: Dataset, tmp_path: Any, text: str, message: str
) -> None:
    path = tmp_path / "candidates.tsv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_candidates(path, graph)


def test_an_empty_pool_leaves_the_positive_alone(graph: Dataset) -> None:
    pools = {(1, "head"): np.empty(0, dtype=np.int64)}
    corruptor = CandidatesByRelation(graph, pools=pools)  # type: ignore[arg-type]
    triple = graph.triple("e00", "p", "e01")
    assert corruptor.count(triple, "head") == len(corruptor.constants(triple, "head")) == 0
