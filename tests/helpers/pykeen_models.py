"""PyKEEN models of every interaction, with random weights, on a small graph."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from proofrank.core.graph import Dataset

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
"""Models of the interactions that have a formula of our own."""

MODELS_OF_MODULES: dict[str, dict[str, Any]] = {
    "AutoSF": {"embedding_dim": 4},
    "BoxE": {"embedding_dim": 5},
    "BoxE, plain": {"embedding_dim": 5, "tanh_map": False, "p": 1, "power_norm": True},
    "ConvE": {"embedding_dim": 12, "embedding_height": 4, "embedding_width": 3, "output_channels": 5},
    "ConvE, plain": {"embedding_dim": 16, "output_channels": 2, "apply_batch_normalization": False},
    "ConvKB": {"embedding_dim": 5, "num_filters": 3},
    "CrossE": {"embedding_dim": 5},
    "DistMA": {"embedding_dim": 5},
    "ERMLP": {"embedding_dim": 5, "hidden_dim": 7},
    "ERMLPE": {"embedding_dim": 5, "hidden_dim": 7},
    "HolE": {"embedding_dim": 7},
    "KG2E": {"embedding_dim": 5},
    "LineaRE": {"interaction_kwargs": {"p": 1}, "shapes": ([5], [5, 5, 5])},
    "MuRE": {"embedding_dim": 5},
    "MultiLinearTucker": {
        "interaction_kwargs": {"head_dim": 3, "relation_dim": 5, "tail_dim": 4},
        "shapes": ([3, 4], [5]),
    },
    "NTN": {"embedding_dim": 5, "num_slices": 2},
    "ProjE": {"embedding_dim": 5},
    "QuatE": {"embedding_dim": 5},
    "SE": {"embedding_dim": 5},
    "SimplE": {"embedding_dim": 5},
    "SimplE, clamped": {"embedding_dim": 5, "clamp_score": 2.0},
    "TorusE": {"embedding_dim": 5, "p": 1, "power_norm": True},
    "TransD": {"embedding_dim": 5, "relation_dim": 3},
    "TransF": {"embedding_dim": 5},
    "TransH": {"embedding_dim": 5, "scoring_fct_norm": 1},
    "TransR": {"embedding_dim": 5, "relation_dim": 3},
    "Transformer": {
        "interaction_kwargs": {"input_dim": 4, "num_layers": 1, "num_heads": 2, "dim_feedforward": 6},
        "shapes": ([4], [4]),
    },
    "TripleRE": {"interaction_kwargs": {"p": 2, "u": None}, "shapes": ([5], [5, 5, 5])},
    "UM": {"embedding_dim": 5},
}
"""Models of the interactions that PyKEEN's modules compute.

Where PyKEEN has no model of one, its shapes of entities and relations are given.
"""


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


def factory_of(dataset: Dataset) -> Any:
    """A triples factory of the names of ``dataset``, in the reverse of its order, and of its facts."""
    from pykeen.triples import TriplesFactory

    vocabulary = dataset.vocabulary
    entities = {name: row for row, name in enumerate(reversed(vocabulary.constants))}
    relations = {name: row for row, name in enumerate(reversed(vocabulary.predicates))}
    names = [dataset.names(triple) for triple in dataset.splits["train"]]
    rows = [[entities[head], relations[relation], entities[tail]] for head, relation, tail in names]
    return TriplesFactory(torch.tensor(rows), entity_to_id=entities, relation_to_id=relations)


def make_model(case: str, *, triples_factory: Any = None) -> Any:
    """The model of one of the cases above, as if trained: constrained, with statistics in its batch normalisations.

    Args:
        case: name of the interaction, and perhaps of its options behind a comma.
        triples_factory: names and triples; those of :func:`factory` by default.
    """
    from pykeen.models import ERModel, model_resolver

    triples_factory = triples_factory or factory()
    name, options = case.partition(",")[0], {**MODELS, **MODELS_OF_MODULES}[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyKEEN warns about its own defaults
        if "shapes" in options:
            entities, relations = ([{"shape": size} for size in sizes] for sizes in options["shapes"])
            model = ERModel(
                triples_factory=triples_factory,
                interaction=name,
                interaction_kwargs=options["interaction_kwargs"],
                entity_representations_kwargs=entities,
                relation_representations_kwargs=relations,
                random_seed=3,
            )
        else:
            model = model_resolver.make(name, triples_factory=triples_factory, random_seed=3, **options)
        model.post_parameter_update()
    interaction: Any = model.interaction
    generator = torch.Generator().manual_seed(4)
    for parameter in interaction.parameters():  # many begin as zeros
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    model.train()
    for _ in range(5):
        model.score_hrt(triples_factory.mapped_triples)
    return model.eval()
