"""Fixed negatives: those of a file, and OGB's numbers from the same scores."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from proofrank.core.errors import DatasetError, RankingError
from proofrank.core.graph import Dataset
from proofrank.core.protocols import read_negatives
from proofrank.core.ranking import aggregate
from tests.core.protocols.scored import BOTH, completed, drawn_graph, ranked_by, score
from tests.helpers.datasets import DatasetMaker

NUM_NEGATIVES = 12


@pytest.fixture(scope="module")
def graph(make_dataset: DatasetMaker) -> Dataset:
    """A graph without domains."""
    return drawn_graph(make_dataset)


@pytest.fixture(scope="module")
def negatives(graph: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of negatives, unordered, some of them twice in a line, and some known triples."""
    draw = random.Random(8)
    path = tmp_path_factory.mktemp("negatives") / "negatives.tsv"
    lines = []
    for triple in graph.splits["test"]:
        names = graph.names(triple)
        for side in BOTH:
            others = [
                name for name in graph.vocabulary.constants if name != names[0 if side == "head" else 2]
            ]
            lines.append("\t".join([*names, side, *draw.choices(others, k=NUM_NEGATIVES)]))
    draw.shuffle(lines)
    path.write_text("\n".join(lines) + "\n")
    return path


def scores_of_file(graph: Dataset, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The scores of the triples of the file, ``[Q]``, and of their negatives, ``[Q, N]``, read by hand."""
    positives, negatives = [], []
    for line in path.read_text().splitlines():
        head, relation, tail, side, *names = line.split("\t")
        triple = graph.triple(head, relation, tail)
        positives.append(score(triple))
        constants = [graph.vocabulary.constant_index(name) for name in names]
        negatives.append([score(completed(triple, side, constant)) for constant in constants])  # type: ignore[arg-type]
    return np.array(positives), np.array(negatives)


def test_ogb_is_the_mean_of_optimistic_and_pessimistic_ranks_among_the_given_negatives(
    graph: Dataset, negatives: Path
) -> None:
    positives, others = scores_of_file(graph, negatives)
    # The evaluator of ogbl-wikikg2 and ogbl-biokg counts from 0, and adds 1 to the mean.
    above = (others > positives[:, None]).sum(axis=1)
    not_below = (others >= positives[:, None]).sum(axis=1)
    ranks = (above + not_below) / 2 + 1
    found = aggregate(ranked_by("ogb", graph, negatives=negatives))
    assert found.mrr == pytest.approx(np.mean(1 / ranks), abs=1e-12)
    assert found.hits_at == {k: pytest.approx(np.mean(ranks <= k), abs=1e-12) for k in (1, 3, 10)}
    assert found.candidates == len(positives) * (1 + NUM_NEGATIVES)


@pytest.mark.integration
def test_ogb_is_what_its_own_evaluator_says_to_its_single_precision(graph: Dataset, negatives: Path) -> None:
    evaluators = pytest.importorskip("ogb.linkproppred", reason="ogb is not installed")
    positives, others = map(torch.from_numpy, scores_of_file(graph, negatives))
    theirs = evaluators.Evaluator("ogbl-wikikg2").eval({"y_pred_pos": positives, "y_pred_neg": others})
    found = aggregate(ranked_by("ogb", graph, negatives=negatives))
    assert found.mrr == pytest.approx(theirs["mrr_list"].double().mean().item(), abs=1e-7)
    for k in (1, 3, 10):
        assert found.hits_at[k] == pytest.approx(theirs[f"hits@{k}_list"].double().mean().item(), abs=1e-12)


def test_negatives_keep_their_order_and_what_stands_twice(graph: Dataset, negatives: Path) -> None:
    by_hand = {}
    for line in negatives.read_text().splitlines():
        head, relation, tail, side, *names = line.split("\t")
        by_hand[graph.triple(head, relation, tail), side] = names
    for one in ranked_by("fixed-negatives", graph, negatives=negatives):
        assert [graph.vocabulary.argument_name(c) for c in one.constants] == by_hand[one.query, one.side]


def test_the_file_may_be_for_more_triples_but_not_for_fewer(
    graph: Dataset, negatives: Path, tmp_path: Path
) -> None:
    fewer = tmp_path / "fewer.tsv"
    fewer.write_text("\n".join(negatives.read_text().splitlines()[1:]) + "\n")
    with pytest.raises(RankingError, match=r"no line for \w\(e\d+, e\d+\) on side (head|tail)"):
        ranked_by("fixed-negatives", graph, negatives=fewer)
    assert ranked_by("fixed-negatives", graph, negatives=negatives, sides=("tail",))


def test_a_protocol_and_its_file_belong_together(graph: Dataset, negatives: Path) -> None:
    with pytest.raises(RankingError, match="protocol 'ogb' needs a file"):
        ranked_by("ogb", graph)
    with pytest.raises(RankingError, match="is for the protocols 'ogb' and 'fixed-negatives'"):
        ranked_by("filtered-all", graph, negatives=negatives)
    with pytest.raises(RankingError, match="expected side 'both'"):
        ranked_by("ogb", graph, negatives=negatives, sides=("tail",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("e00\tp\te01\thead\n", r":1: too few columns .*expected 'head<TAB>relation<TAB>tail<TAB>side"),
        ("e00\tp\te01\tboth\te02\n", r":1: side 'both'"),
        ("e00\tp\te01\thead\te02\ne00\tp\te01\thead\te03\n", r":2: .*second time"),
        (
            "e00\tp\te01\thead\te02\ne00\tp\te01\ttail\te02\te99\n",
            r":2: unknown constant 'e99'; did you mean",
        ),
        ("e00\tx\te01\thead\te02\n", r":1: unknown predicate 'x'"),
        ("e00\tp\te01\thead\te02\te00\n", r":1: the triple's own head among its negatives"),
        (
            "e00\tp\te01\thead\te02\te03\ne00\tp\te01\ttail\te02\n",
            r":2: 1 negatives .*expected 2, as on the lines",
        ),
        ("\n", "no negatives in this file"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(
    graph: Dataset, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "wrong.tsv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_negatives(path, graph, same_number=True)
