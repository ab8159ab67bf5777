"""Embeddings saved from PyKEEN score every triple as the model does."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pykeen.triples import CoreTriplesFactory

from proofrank.core.embedding import load_embedding, save_embedding
from proofrank.core.embedding.embedding import RowScorer
from proofrank.core.errors import EmbeddingError
from tests.helpers.pykeen_models import (
    ENTITIES,
    MODELS,
    MODELS_OF_MODULES,
    RELATIONS,
    factory,
    make_model,
)

ALL = np.array(
    list(itertools.product(range(len(ENTITIES)), range(len(RELATIONS)), range(len(ENTITIES)))), dtype=np.int64
)


@pytest.mark.parametrize("case", [*MODELS, *MODELS_OF_MODULES])
def test_every_triple_has_the_score_of_the_model(case: str, tmp_path: Path) -> None:
    model = make_model(case)
    saved = save_embedding(model, factory(), tmp_path / "saved")
    loaded = load_embedding(tmp_path / "saved")
    assert loaded.content_hash == saved.content_hash != ""
    assert (saved.entities, saved.relations) == (ENTITIES, RELATIONS)
    with torch.inference_mode():
        expected = model.double().score_hrt(torch.from_numpy(ALL)).reshape(-1).numpy()
    scores = RowScorer(saved, "cpu").scores(ALL[:, 0], ALL[:, 1], ALL[:, 2])
    # Where PyKEEN normalises rows when it reads them, they are saved as float32 computes them.
    tolerance = 1e-6 if case in ("RotatE", "PairRE", "QuatE") else 1e-12
    np.testing.assert_allclose(scores, expected, rtol=tolerance, atol=tolerance)
    num_different = (
        len(ALL) // len(RELATIONS) if case != "UM" else len(ENTITIES) * 3
    )  # UM is blind to relations
    assert len(set(scores.tolist())) > num_different


def test_a_model_with_inverse_triples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match="inverse triples"):
        save_embedding(make_model("DistMult"), factory(create_inverse_triples=True), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", ["trained_model.pkl", SimpleNamespace(model=None)])
def test_what_is_no_model_is_refused(model: object, tmp_path: Path) -> None:
    with pytest.raises(
        EmbeddingError, match=r"; expected a PyKEEN model, such as result\.model of a pipeline"
    ):
        save_embedding(model, factory(), tmp_path)


def test_a_factory_without_names_is_refused(tmp_path: Path) -> None:
    named = factory()
    nameless = CoreTriplesFactory(named.mapped_triples, len(ENTITIES), len(RELATIONS))
    with pytest.raises(
        EmbeddingError, match="a CoreTriplesFactory, which has no entity_to_id; expected a Tri"
    ):
        save_embedding(make_model("DistMult"), nameless, tmp_path / "saved")

    odd = SimpleNamespace(relation_to_id=named.relation_to_id)
    odd.entity_to_id = {name: index + 1 for index, name in enumerate(ENTITIES)}
    with pytest.raises(
        EmbeddingError, match="entity_to_id has ids from 1 to 8 for 8 names; expected each of 0 to 7"
    ):
        save_embedding(make_model("DistMult"), odd, tmp_path / "saved")
    odd.entity_to_id = {index: index for index in range(len(ENTITIES))}
    with pytest.raises(EmbeddingError, match="entity_to_id has the name 0, a int; expected strings"):
        save_embedding(make_model("DistMult"), odd, tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_another_formula_is_refused(tmp_path: Path) -> None:
    model = make_model("DistMult")
    with pytest.raises(EmbeddingError, match=r"interaction 'Linear' .*expected one of TransE"):
        save_embedding(torch.nn.Linear(2, 2), factory(), tmp_path)
    forward = model.interaction.forward
    model.interaction.forward = lambda h, r, t: 1.5 * forward(h, r, t)
    with pytest.raises(EmbeddingError, match="scores differ"):
        save_embedding(model, factory(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_embedding_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    save_embedding(make_model("DistMult"), factory(), tmp_path)
    with pytest.raises(EmbeddingError, match="holds an embedding"):
        save_embedding(make_model("TransE"), factory(), tmp_path)
    assert save_embedding(make_model("TransE"), factory(), tmp_path, overwrite=True).kind == "TransE"
    assert load_embedding(tmp_path).kind == "TransE"
