"""Formulas of embeddings, by hand; scores that depend on nothing but the triple."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from proofrank.core.embedding.embedding import Embedding, RowScorer, make_embedding
from proofrank.core.embedding.interactions import INTERACTIONS, ordered_sum
from proofrank.core.errors import EmbeddingError


def random_embedding(interaction: str, entities: int = 30, relations: int = 3, size: int = 7) -> Embedding:
    """An embedding of normal random numbers; its last two entities are equal."""
    generator = torch.Generator().manual_seed(5)
    sizes = {"entities": entities, "relations": relations, "d": size, "e": 4}
    tensors = {
        name: torch.randn([sizes[dimension] for dimension in dimensions], generator=generator)
        for name, dimensions in INTERACTIONS[interaction].shapes.items()
    }
    for name, tensor in tensors.items():
        if name.startswith("entity"):
            tensor[-1] = tensor[-2]
    return make_embedding(
        name="random",
        content_hash="",
        interaction=interaction,
        options={},
        tensors=tensors,
        entities=[f"e{number}" for number in range(entities)],
        relations=[f"r{number}" for number in range(relations)],
    )


def tiny(interaction: str, tensors: dict[str, list[list[float]]], **options: object) -> float:
    """The score of (0, 0, 1)."""
    embedding = make_embedding(
        name="tiny",
        content_hash="",
        interaction=interaction,
        options=options,
        tensors={name: torch.tensor(rows) for name, rows in tensors.items()},
        entities=["h", "t"],
        relations=["r"],
    )
    zero, one = np.array([0]), np.array([1])
    return float(RowScorer(embedding, "cpu").scores(zero, zero, one)[0])


def test_scores_by_hand() -> None:
    vectors = {"entity": [[1.0, 2.0], [3.0, -1.0]], "relation": [[0.5, 4.0]]}
    assert tiny("TransE", vectors, p=1) == -(1.5 + 7.0)
    assert tiny("TransE", vectors, p=2) == -math.sqrt(1.5**2 + 7.0**2)
    assert tiny("TransE", vectors, p=2, power_norm=True) == -(1.5**2 + 7.0**2)
    assert tiny("DistMult", vectors) == 1 * 0.5 * 3 + 2 * 4 * -1
    h, r, t = complex(1, 2), complex(0.6, 0.8), complex(3, -1)
    parts = {
        "entity_real": [[1.0], [3.0]],
        "entity_imag": [[2.0], [-1.0]],
        "relation_real": [[0.6]],
        "relation_imag": [[0.8]],
    }
    assert tiny("ComplEx", parts) == pytest.approx((h * r * t.conjugate()).real, rel=1e-7)
    apart = h * r - t
    assert tiny("RotatE", parts) == pytest.approx(-abs(apart), rel=1e-7)
    assert tiny("RotatE", parts, norm="parts", margin=12.0) == pytest.approx(
        12 - abs(apart.real) - abs(apart.imag), rel=1e-7
    )
    # moduli are summed, not squared
    two = {name: [row * 2 for row in rows] for name, rows in parts.items()}
    assert tiny("RotatE", two, norm="moduli", margin=1.5) == pytest.approx(1.5 - 2 * abs(apart), rel=1e-7)
    assert tiny("RotatE", two) == pytest.approx(-math.sqrt(2) * abs(apart), rel=1e-7)


@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_a_score_has_the_same_bits_whatever_is_scored_beside_it(interaction: str) -> None:
    embedding = random_embedding(interaction)
    generator = np.random.default_rng(2)
    heads, tails = generator.integers(0, 30, (2, 500))
    relations = generator.integers(0, 3, 500)
    scorer = RowScorer(embedding, "cpu")
    together = scorer.scores(heads, relations, tails)
    for row in (0, 3, 250, 499):
        alone = scorer.scores(heads[row : row + 1], relations[row : row + 1], tails[row : row + 1])
        assert alone[0] == together[row]
    some = generator.permutation(500)[:77]
    assert np.array_equal(scorer.scores(heads[some], relations[some], tails[some]), together[some])
    # Entities with equal rows tie exactly.
    rows = np.array([0, 0])
    last_two = scorer.scores(rows, rows, np.array([28, 29]))
    assert last_two[0] == last_two[1]


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40))
def test_the_ordered_sum_is_the_sum(values: list[float]) -> None:
    found = float(ordered_sum(torch.tensor([values, values], dtype=torch.float64))[1])
    assert found == pytest.approx(math.fsum(values), abs=1e-9)


def test_what_is_wrong_is_named() -> None:
    def make(**changed: object) -> None:
        parts: dict[str, object] = {
            "interaction": "TransE",
            "options": {},
            "tensors": {"entity": torch.zeros(2, 3), "relation": torch.zeros(1, 3)},
            "entities": ["a", "b"],
            "relations": ["r"],
        }
        make_embedding(name="x", content_hash="", **(parts | changed))  # pyright: ignore[reportArgumentType]

    make()
    entity, relation = torch.zeros(2, 3), torch.zeros(1, 3)
    for changed, message in (
        (
            {"interaction": "Own"},
            "'interaction' is 'Own'; expected one of TransE, .* with PyKEEN one of AutoSF",
        ),
        ({"options": {"p": 3}}, "option 'p' of TransE is 3; expected 1 or 2"),
        ({"options": {"q": 3}}, "option 'q' of TransE is unknown; expected p, power_norm"),
        ({"entities": ["a", "a"]}, "'entities' holds a name twice"),
        ({"relations": []}, "'relations' is empty"),
        ({"tensors": {"entity": entity}}, "has tensors entity; expected entity, relation"),
        (
            {"tensors": {"entity": entity, "relation": torch.zeros(1, 4)}},
            r"'relation' has shape \[1, 4\]; expected",
        ),
        ({"tensors": {"entity": entity[:1], "relation": relation}}, r"has shape \[1, 3\]; expected \[2, 3\]"),
        (
            {"tensors": {"entity": entity / 0, "relation": relation}},
            "'entity' holds values that are not finite",
        ),
        ({"tensors": {"entity": entity.int(), "relation": relation}}, "is torch.int32; expected a floating"),
    ):
        with pytest.raises(EmbeddingError, match=message):
            make(**changed)
