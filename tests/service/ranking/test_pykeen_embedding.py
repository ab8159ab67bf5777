"""A server ranks by an embedding that a module of PyKEEN's scores, as the model itself does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import proofrank
from proofrank.client import Client
from proofrank.core.embedding import save_embedding
from proofrank.core.graph import Dataset
from proofrank.core.policy import load_policy
from tests.helpers.answers import assert_ranked_alike
from tests.helpers.pykeen_models import factory_of, make_model
from tests.helpers.serving import RunningServer

WEIGHTS = {"weight": 0.75, "bonus": None, "penalty": 2.5}


@pytest.fixture(scope="module")
def factory(family: Dataset) -> Any:
    return factory_of(family)


@pytest.fixture(scope="module")
def model(factory: Any) -> Any:
    return make_model("MuRE", triples_factory=factory)


@pytest.fixture(scope="module")
def embedding(model: Any, factory: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embeddings") / "mure"
    save_embedding(model, factory, folder)
    return folder


@pytest.fixture(scope="module")
def client(serve_arguments: list[str], embedding: Path) -> Iterator[Client]:
    """A client of a server with that embedding."""
    with (
        RunningServer(*serve_arguments, "--embedding", str(embedding)) as running,
        Client(running.wait_until_ready().url) as client,
    ):
        yield client


def test_ranks_by_the_embedding_are_those_of_the_models_scores(
    client: Client, family: Dataset, model: Any, factory: Any
) -> None:
    triples = [family.names(triple) for triple in family.splits["train"]]
    answer = client.rank(triples, corruptions="all", scoring="embedding", return_candidates=True)
    double = model.double()

    def score(head: str, relation: str, tail: str) -> float:
        ids = factory.entity_to_id
        row = torch.tensor([[ids[head], factory.relation_to_id[relation], ids[tail]]])
        with torch.inference_mode():
            return float(double.score_hrt(row))

    for (_, relation, _), query in zip(triples, answer.queries, strict=True):
        for ranking in query.rankings:
            assert ranking.candidates is not None
            scores = [score(each.head, relation, each.tail) for each in ranking.candidates]
            assert scores == pytest.approx([each.score for each in ranking.candidates], abs=1e-12)
            assert ranking.ranks.optimistic == 1 + sum(other > scores[0] + 1e-12 for other in scores[1:])


@pytest.mark.parametrize("scoring", ["embedding", "hybrid"])
def test_the_answer_is_that_of_the_function(
    scoring: Any, client: Client, family: Dataset, policy_folder: Path, embedding: Path
) -> None:
    triples = [family.names(triple) for triple in family.splits["train"]]
    hybrid = WEIGHTS if scoring == "hybrid" else None
    expected = proofrank.evaluate(
        family,
        load_policy(policy_folder, family),
        triples=triples,
        corruptions="all",
        engine="original",
        scoring=scoring,
        embedding=embedding,
        hybrid=hybrid,
    )
    answer = client.rank(triples, corruptions="all", scoring=scoring, hybrid=hybrid)
    assert_ranked_alike(answer, expected)
