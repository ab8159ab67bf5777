"""``deepprooflog`` draws and ranks as the public DeepProofLog code does after ``torch.manual_seed``."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch

from proofrank.core.choices import Side
from proofrank.core.errors import RankingError
from proofrank.core.graph import Dataset, Triple
from proofrank.core.protocol_rules import settled
from proofrank.core.protocols import QUERIES_AT_ONCE, corruptor_of
from proofrank.core.ranking import LazyQueries, aggregate
from tests.core.protocols.scored import BOTH, completed, drawn_graph, known, ranked_by, score
from tests.helpers.datasets import DatasetMaker

NUMBER = 15
NUM_TEST = 300
"""Number of test triples: more than two draws of the code's 128 queries."""


@pytest.fixture(scope="module", params=[False, True], ids=["all-entities", "domains"])
def graph(request: pytest.FixtureRequest, make_dataset: DatasetMaker) -> Dataset:
    """A graph without domains, and one with three."""
    return drawn_graph(make_dataset, domains=request.param, num_test=NUM_TEST)


def chunks(triples: Iterable[Triple]) -> list[list[Triple]]:
    """Queries as they are drawn for together."""
    listed = list(triples)
    return [listed[start : start + QUERIES_AT_ONCE] for start in range(0, len(listed), QUERIES_AT_ONCE)]


def draw_as_there(graph: Dataset, chunk: list[Triple], side: Side) -> list[list[int]]:
    """Negatives of a chunk by torch's global generator, one by one: with replacement, filtered, each once."""
    own = [getattr(triple, side) for triple in chunk]
    if graph.domains:
        pools = []
        for constant in own:
            (pool,) = [domain for domain in graph.domains.values() if constant in domain]
            pools.append(list(pool))
        uniform = torch.rand(len(chunk) * NUMBER).view(len(chunk), NUMBER)
        drawn = [
            [
                [other for other in pool if other != constant][int(torch.floor(number * (len(pool) - 1)))]
                if len(pool) > 1
                else constant
                for number in row
            ]
            for pool, constant, row in zip(pools, own, uniform, strict=True)
        ]
    else:
        others = torch.randint(1, graph.vocabulary.num_constants, (len(chunk), NUMBER))
        drawn = [
            [int(other) + (int(other) >= constant) for other in row]
            for constant, row in zip(own, others, strict=True)
        ]
    everything = known(graph)
    return [
        list(dict.fromkeys(c for c in row if completed(triple, side, c) not in everything))
        for triple, row in zip(chunk, drawn, strict=True)
    ]


def evaluated_as_there(
    graph: Dataset, sides: tuple[Side, ...], seed: int
) -> tuple[dict, dict[Side, list[int]]]:
    """The negatives by triple and side, and the ranks by side, of the whole test set."""
    torch.manual_seed(seed)
    ties = torch.Generator().manual_seed(0)
    negatives: dict[tuple[Triple, Side], list[int]] = {}
    ranks: dict[Side, list[int]] = {side: [] for side in sides}
    for chunk in chunks(graph.splits["test"]):
        drawn = {side: draw_as_there(graph, chunk, side) for side in sides}
        for side in sides:
            keys = torch.rand((len(chunk), 1 + NUMBER), generator=ties)
            for row, (triple, constants) in enumerate(zip(chunk, drawn[side], strict=True)):
                negatives[triple, side] = constants
                rank, own = 1, score(triple)
                for place, constant in enumerate(constants, start=1):
                    other = score(completed(triple, side, constant))
                    rank += other > own or (other == own and bool(keys[row, place] > keys[row, 0]))
                ranks[side].append(rank)
    return negatives, ranks


@pytest.mark.parametrize("sides", [BOTH, ("tail",)])
def test_negatives_ranks_and_mrr_are_those_of_the_code(graph: Dataset, sides: tuple[Side, ...]) -> None:
    before = torch.random.get_rng_state()
    negatives, ranks = evaluated_as_there(graph, sides, seed=11)
    torch.random.set_rng_state(before)
    ranked = ranked_by(f"deepprooflog-{NUMBER}", graph, sides=sides, seed=11)
    assert torch.equal(torch.random.get_rng_state(), before)  # the caller's random numbers stay as they were
    for one in ranked:
        assert one.constants.tolist() == negatives[one.query, one.side]
    for side in sides:
        assert [one.ranks.random for one in ranked if one.side == side] == ranks[side]
    mrr_of_sides = [np.mean([1 / rank for rank in ranks[side]]) for side in sides]
    assert aggregate(ranked, "random").mrr == pytest.approx(np.mean(mrr_of_sides), abs=1e-12)
    assert any(len(one.constants) < NUMBER for one in ranked)  # some were drawn twice, or are known


def test_a_part_of_an_evaluation_gets_what_the_whole_gives_it(graph: Dataset) -> None:
    triples = graph.splits["test"]
    sides = [BOTH] * len(triples)
    corruptor = corruptor_of(settled("deepprooflog-9"), graph, 5, triples, sides)
    work = LazyQueries(triples, sides, corruptor)
    whole = work.all_queries()
    again = LazyQueries(triples, sides, corruptor_of(settled("deepprooflog-9"), graph, 5, triples, sides))
    for index in (NUM_TEST - 1, 130, 0):
        for one, other in zip(again.queries(index), whole[2 * index : 2 * index + 2], strict=True):
            assert np.array_equal(one.constants, other.constants)
            assert np.array_equal(one.tie_keys, other.tie_keys)  # type: ignore[arg-type]
        assert work.num_candidates(index) == sum(query.num_candidates for query in again.queries(index))


def test_what_the_protocol_cannot_rank_is_refused(make_dataset: DatasetMaker) -> None:
    graph = drawn_graph(make_dataset)
    triples = graph.splits["test"]
    heads: tuple[Side, ...] = ("head",)
    tails: tuple[Side, ...] = ("tail",)
    mixed = [heads, *[tails] * (len(triples) - 1)]
    with pytest.raises(RankingError, match="on the same sides"):
        corruptor_of(settled("deepprooflog"), graph, 0, triples, mixed)
    with pytest.raises(RankingError, match="draws; expected fewer"):
        corruptor_of(settled("deepprooflog-1000000"), graph, 0, triples, [BOTH] * len(triples))
    partly = make_dataset(["p(a,b)."], ["p(X,Y) -> p(Y,X)"], test=["p(b,a)."], domains=["one a"])
    with pytest.raises(RankingError, match="constant 'b' is in no domain"):
        ranked_by("deepprooflog", partly)
