"""The callback in a training loop of PyKEEN, whose model gives its embeddings to a policy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import proofrank
from proofrank.callbacks import InProcess, Validation
from proofrank.core.policy import Policy, PolicyNetwork

pytest.importorskip("pykeen", reason="needs proofrank[pykeen]")
from pykeen.trackers import PythonResultTracker, ResultTracker

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]


def train_transe(
    family: proofrank.Dataset,
    policy: Policy,
    validation: Validation,
    epochs: int,
    tracker: ResultTracker | None = None,
) -> None:
    """Trains TransE on the family; after each epoch, its entities are the policy's constants."""
    from pykeen.models import Model, TransE
    from pykeen.training import SLCWATrainingLoop
    from pykeen.triples import TriplesFactory

    from proofrank.callbacks.pykeen import PykeenValidation

    names = [family.names(triple) for triple in family.splits["train"]]
    constants = {name: index for index, name in enumerate(family.vocabulary.constants)}
    factory = TriplesFactory.from_labeled_triples(np.array(names), entity_to_id=constants)
    model = TransE(triples_factory=factory, embedding_dim=policy.network.config.embedding_dim, random_seed=0)

    def network(model: Model) -> PolicyNetwork:
        with torch.no_grad():
            entities = model.entity_representations[0]()  # pyright: ignore
            policy.network.embedding.arguments[1 : 1 + len(constants)] = entities
        return policy.network

    loop = SLCWATrainingLoop(
        model=model,
        triples_factory=factory,
        optimizer=torch.optim.Adam(model.parameters(), lr=0.1),
        result_tracker=tracker,
    )
    loop.train(
        triples_factory=factory,
        num_epochs=epochs,
        batch_size=4,
        use_tqdm=False,
        callbacks=PykeenValidation(validation, network),
    )


def test_the_policy_with_the_embeddings_of_each_epoch_is_evaluated(
    family: proofrank.Dataset, policy: Policy
) -> None:
    tracker = PythonResultTracker()
    with Validation(InProcess(family, split="test", engine="original"), like=policy) as validation:
        train_transe(family, policy, validation, 3, tracker)
    assert validation.failures == 0
    assert [result.step for result in validation.results] == [1, 2, 3]
    last = proofrank.evaluate(family, policy, split="test", engine="original")
    assert validation.results[-1].metrics["mrr"] == last.metrics.mrr
    for result in validation.results:
        tracked = tracker.metrics[result.step]
        assert tracked["proofrank.mrr"] == result.metrics["mrr"]
        assert tracked["proofrank.hits_at_1"] == result.metrics["hits@1"]
    scores: list[list[float]] = []
    for result in validation.results:
        assert isinstance(result.report, proofrank.EvaluationReport)
        scores.append([ranking.log_probability for ranking in result.report.rankings])
    assert scores[0] != scores[1] != scores[2]


def test_the_loop_stops_when_nothing_gets_better(family: proofrank.Dataset, policy: Policy) -> None:
    # So large a difference that no result is an improvement.
    in_process = InProcess(family, split="test", engine="original")
    with Validation(in_process, like=policy, patience=2, min_delta=1.0) as validation:
        train_transe(family, policy, validation, 20)
    assert [result.step for result in validation.results] == [1, 2, 3]
