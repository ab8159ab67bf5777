"""PyKEEN models of every interaction, with random weights, on a small graph."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

ENTITIES = tuple(f"e{number}" for number in (7, 3, 0, 5, 1, 6, 2, 4))
RELATIONS = ("likes", "knows", "sees")

MODELS: dict[str, dict[str, Any]] = {
    "TransE": {"embedding_dim": 6, "scoring_fct_norm": 2},
    "TransE, 1-norm": {"embedding_dim": 6, "scoring_fct_norm": 1},
    "TransE, squared": {"embedding_dim": 6, "scoring_fct_norm": 2, "power_norm": True},
    "DistMult": {"embedding_dim": 7},
    "ComplEx": {"embedding_dim": 5},
    "RotatE": {"embedding_dim": 5},
    "TuckER": {"embedding_dim": 6, "relation_dim": 4},
    "TuckER, plain": {"embedding_dim": 6, "relation_dim": 4, "apply_batch_normalization": False},
    "RESCAL": {"embedding_dim": 5},
    "CP": {"embedding_dim": 5, "rank": 3},
    "PairRE": {"embedding_dim": 5},
}


def factory(*, create_inverse_triples: bool = False) -> Any:
    """A triples factory whose rows are in no order of names."""
    from pykeen.triples import TriplesFactory

    generator = np.random.default_rng(1)
    triples = generator.integers(0, [len(ENTITIES), len(RELATIONS), len(ENTITIES)], (20, 3))
    return TriplesFactory(
        mapped_triples=torch.from_numpy(triples),
        entity_to_id={name: row for row, name in enumerate(ENTITIES)},
        relation_to_id={name: row for row, name in enumerate(RELATIONS)},
        create_inverse_triples=create_inverse_triples,
    )


def make_model(case: str) -> Any:
    """The model of one of ``MODELS``, as if trained: constrained, with statistics in its batch normalisations."""
    from pykeen.models import model_resolver

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyKEEN warns about its own defaults
        model = model_resolver.make(
            case.partition(",")[0], triples_factory=factory(), random_seed=3, **MODELS[case]
        )
        model.post_parameter_update()
    model.train()
    for _ in range(5):
        model.score_hrt(factory().mapped_triples)
    return model.eval()
