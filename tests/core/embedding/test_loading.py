"""Embeddings and scores from files: our folders, those of the public DeepProofLog code, files of scores."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from proofrank.core.embedding import load_embedding
from proofrank.core.embedding.folder import write_folder
from proofrank.core.errors import EmbeddingError
from proofrank.core.graph import Dataset
from tests.helpers.datasets import DatasetMaker
from tests.helpers.embeddings import write_too_large

NUM_ENTITIES, NUM_RELATIONS, SIZE = 3, 2, 4
ENTITY_IDS = {"c": 0, "a": 2, "b": 1}
RELATION_IDS = {"s": 1, "r": 0}


@pytest.fixture
def dataset(make_dataset: DatasetMaker) -> Dataset:
    return make_dataset(["r(a,b).", "s(b,c)."], ["one:1:r(X,Y) -> s(X,Y)"])


def public_tensors(model: str) -> dict[str, torch.Tensor]:
    """Random tensors of the names and shapes that the public code gives them."""
    generator = torch.Generator().manual_seed(1)

    def table(rows: int) -> torch.Tensor:
        return torch.randn(rows, SIZE, generator=generator)

    parts = {"ent_re.weight": table(3), "ent_im.weight": table(3)}
    return {
        "RotatE": {**parts, "rel_phase.weight": 9 * table(2), "gamma": torch.tensor(12.0)},
        "ComplEx": {**parts, "rel_re.weight": table(2), "rel_im.weight": table(2)},
        "TuckER": {
            "ent.weight": table(3),
            "rel.weight": table(2)[:, :3].contiguous(),
            "W": torch.randn(3, SIZE, SIZE, generator=generator),
        },
        "TransE": {"entity_embeddings.weight": table(3), "relation_embeddings.weight": table(2)},
        "DistMult": {"entity_embeddings.weight": table(3), "relation_embeddings.weight": table(2)},
    }[model]


def public_score(model: str, weights: dict[str, torch.Tensor], p: int, h: int, r: int, t: int) -> float:
    """The score as the public code defines it, a triple at a time and in float64."""
    rows = {name: tensor.double() for name, tensor in weights.items()}
    if model in ("RotatE", "ComplEx"):
        entities = torch.complex(rows["ent_re.weight"], rows["ent_im.weight"])
        if model == "ComplEx":
            relation = torch.complex(rows["rel_re.weight"], rows["rel_im.weight"])[r]
            return float((entities[h] * relation * entities[t].conj()).sum().real)
        phase = torch.remainder(rows["rel_phase.weight"][r], 2 * torch.pi)
        apart = entities[h] * torch.exp(1j * phase) - entities[t]
        moduli = (apart.real**2 + apart.imag**2 + 1e-9).sqrt()
        distance = apart.real.abs() + apart.imag.abs() if p == 1 else moduli
        return float(rows["gamma"] - distance.sum())
    if model == "TuckER":
        entities, relation = rows["ent.weight"], rows["rel.weight"][r]
        return float(torch.einsum("kij,k,i,j->", rows["W"], relation, entities[h], entities[t]))
    entities, relation = rows["entity_embeddings.weight"], rows["relation_embeddings.weight"][r]
    if model == "DistMult":
        return float((entities[h] * relation * entities[t]).sum())
    return float(-torch.norm(entities[h] + relation - entities[t], p=p))


def write_public(
    folder: Path, model: str, config: dict[str, Any], prefix: str = ""
) -> dict[str, torch.Tensor]:
    weights = public_tensors(model)
    folder.mkdir(exist_ok=True)
    torch.save({f"{prefix}{name}": tensor for name, tensor in weights.items()}, folder / "weights.pth")
    (folder / "config.json").write_text(json.dumps({"model": model, **config}))
    (folder / "entity2id.json").write_text(json.dumps(ENTITY_IDS))
    (folder / "relation2id.json").write_text(json.dumps(RELATION_IDS))
    return weights


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize(
    ("model", "p"),
    [
        ("RotatE", 1),
        ("RotatE", 2),
        ("ComplEx", 1),
        ("TuckER", 1),
        ("TransE", 1),
        ("TransE", 2),
        ("DistMult", 1),
    ],
)
def test_a_folder_of_the_public_code_scores_by_its_formula_and_by_names(
    model: str, p: int, prefix: str, dataset: Dataset, tmp_path: Path
) -> None:
    weights = write_public(tmp_path / "rotate", model, {"p": p, "dim": 8}, prefix)
    embedding = load_embedding(tmp_path / "rotate")
    assert (embedding.kind, embedding.name) == (model, "rotate")
    names = [("a", "r", "b"), ("b", "s", "c"), ("c", "r", "a"), ("a", "s", "a")]
    triples = np.array([dataset.triple(*triple) for triple in names])
    scores = embedding.scorer(dataset, "cpu").scores(triples)
    expected = [
        public_score(model, weights, p, ENTITY_IDS[h], RELATION_IDS[r], ENTITY_IDS[t]) for h, r, t in names
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-12, atol=1e-12)


def test_options_of_the_public_code_are_told_by_its_config(tmp_path: Path) -> None:
    write_public(tmp_path, "TransE", {})
    first = load_embedding(tmp_path)
    write_public(tmp_path, "TransE", {"p": 2})
    assert load_embedding(tmp_path).content_hash != first.content_hash


def test_damage_is_named(tmp_path: Path) -> None:
    def refused(message: str) -> None:
        with pytest.raises(EmbeddingError, match=message):
            load_embedding(tmp_path)

    refused("has no embedding.safetensors")
    write_public(tmp_path, "DistMult", {})
    (tmp_path / "config.json").write_text('{"model": "ConvE"}')
    refused("config.json: 'model' is 'ConvE'; expected one of RotatE, ComplEx, TuckER, TransE, DistMult")
    (tmp_path / "config.json").write_text('{"model": "RotatE"}')
    refused("has tensors entity_embeddings.weight, relation_embeddings.weight; expected ent_im.weight")
    (tmp_path / "config.json").write_text('{"model": "DistMult"}')
    (tmp_path / "entity2id.json").write_text('{"a": 0, "b": 0, "c": 2}')
    refused("the row of 'b' is 0; expected each of 0 to 2 once")
    (tmp_path / "entity2id.json").write_text('{"a": 0, "b": 1}')
    refused(r"'entity' has shape \[3, 4\]; expected \[2, 4\], for 2 entities and 2 relations")
    (tmp_path / "entity2id.json").write_text(json.dumps(ENTITY_IDS))
    (tmp_path / "relation2id.json").unlink()
    refused("relation2id.json: cannot be read")
    write_public(tmp_path, "DistMult", {})
    torch.save({"state": [*public_tensors("DistMult")]}, tmp_path / "weights.pth")
    refused("'state' is a list; expected a state dict of tensors by name")


OF_ROTATE = {
    f"{kind}_{part}": torch.ones(number, SIZE)
    for kind, number in (("entity", NUM_ENTITIES), ("relation", NUM_RELATIONS))
    for part in ("real", "imag")
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interaction": ["DistMult"]}, r"'interaction' is \['DistMult'\]; expected the name of one"),
        ({"interaction": {}}, "'interaction' is {}; expected the name of one"),
        ({"interaction": None}, "'interaction' is None; expected the name of one"),
        ({"options": {"margin": 10**400}}, "option 'margin' of RotatE is 1000.*; expected a finite number"),
        ({"options": {"margin": -(10**400)}}, "option 'margin' of RotatE is -1000.*; expected a finite number"),
        ({"options": {"epsilon": 10**400}}, "option 'epsilon' of RotatE is 1000.*; expected a finite number"),
        ({"options": {"margin": math.inf}}, "option 'margin' of RotatE is inf; expected a finite number"),
        ({"options": {"margin": True}}, "option 'margin' of RotatE is True; expected a finite number"),
        ({"checks": [[0, 0, 0, 10**400]]}, r"'checks' has \[0, 0, 0, 1000.*; expected the rows"),
        ({"interaction": "TransH", "options": {"p": 10**400, "power_norm": False}, "checks": [[0, 0, 0, 1.0]]},
         "option 'p' of TransH is 1000.*; expected a number above 0"),
        ({"interaction": "SimplE", "options": {"clamp_score": [None, 10**400]}, "checks": [[0, 0, 0, 1.0]]},
         "option 'clamp_score' of SimplE is .*; expected null, or a list"),
    ],
)  # fmt: skip
def test_a_config_of_ours_that_holds_anything_else_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write_rotate(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(EmbeddingError, match=message):
        load_embedding(tmp_path)


def test_whole_numbers_that_only_a_float_holds_are_options(dataset: Dataset, tmp_path: Path) -> None:
    write_rotate(tmp_path, margin=10**30)
    triple = np.array([dataset.triple("a", "r", "b")])
    assert load_embedding(tmp_path).scorer(dataset, "cpu").scores(triple).tolist() == [1e30]


def write_rotate(folder: Path, **options: Any) -> None:
    write_folder(
        folder,
        interaction="RotatE",
        options=options,
        tensors=OF_ROTATE,
        entities=["a", "b", "c"],
        relations=["r", "s"],
    )


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    write_public(tmp_path, "DistMult", {})
    torch.save({**public_tensors("DistMult"), "evil": Runs()}, tmp_path / "weights.pth")
    with pytest.raises(EmbeddingError, match="its pickle"):
        load_embedding(tmp_path)
    (tmp_path / "pykeen").mkdir()
    torch.save(Runs(), tmp_path / "pykeen" / "trained_model.pkl")
    for path in (tmp_path / "pykeen", tmp_path / "pykeen" / "trained_model.pkl"):
        with pytest.raises(EmbeddingError, match=r"never loaded here.*save_embedding"):
            load_embedding(path)
    assert not (tmp_path / "ran").exists()


def write_ours(folder: Path, entities: list[str], relations: list[str]) -> None:
    write_folder(
        folder,
        interaction="DistMult",
        options={},
        tensors={
            "entity": torch.arange(1.0, 1 + len(entities))[:, None],
            "relation": torch.arange(1.0, 1 + len(relations))[:, None],
        },
        entities=entities,
        relations=relations,
        overwrite=True,
    )


def test_rows_are_found_by_name_whatever_their_order(dataset: Dataset, tmp_path: Path) -> None:
    triples = np.array([dataset.triple("a", "r", "b"), dataset.triple("b", "s", "c")])
    write_ours(tmp_path, ["a", "b", "c"], ["r", "s"])
    assert load_embedding(tmp_path).scorer(dataset, "cpu").scores(triples).tolist() == [2.0, 12.0]
    write_ours(tmp_path, ["unused", "c", "b", "a"], ["s", "r"])
    assert load_embedding(tmp_path).scorer(dataset, "cpu").scores(triples).tolist() == [4 * 3 * 2, 3 * 2]


def test_a_name_without_an_embedding_is_an_error_that_names_it(dataset: Dataset, tmp_path: Path) -> None:
    write_ours(tmp_path, ["a", "B"], ["r"])
    with pytest.raises(EmbeddingError, match=r"has no constant 'b', 'c' \(2 of dataset .*did you mean 'B'"):
        load_embedding(tmp_path).scorer(dataset, "cpu")
    write_ours(tmp_path, ["a", "b", "c"], ["r"])
    scorer = load_embedding(tmp_path).scorer(dataset, "cpu")
    scorer.check([dataset.triple("a", "r", "b")])
    for ask in (
        lambda: scorer.check([dataset.triple("a", "s", "b")]),
        lambda: scorer.scores(np.array([dataset.triple("a", "s", "b")])),
    ):
        with pytest.raises(EmbeddingError, match="has no predicate 's'"):
            ask()


def test_scores_that_are_not_finite_are_an_error_that_names_the_triple(
    dataset: Dataset, tmp_path: Path
) -> None:
    scorer = load_embedding(write_too_large(tmp_path / "large", dataset, "r")).scorer(dataset, "cpu")
    fine, bad = dataset.triple("a", "r", "b"), dataset.triple("b", "s", "c")
    assert scorer.scores(np.array([fine])).tolist() == [pytest.approx(-1e308)]
    text = r"DistMult 'large' gives s\(b,c\) the score inf \(1 of 2 triples .*; expected finite scores"
    with pytest.raises(EmbeddingError, match=text):
        scorer.scores(np.array([fine, bad]))


def test_a_file_of_scores(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "scores.tsv"
    path.write_text("% triple and score\nr(a,b)\t1.5\ns(b,c)\t-2e3\nr(a,b)\t1.5\nr(else,where)\t7\n")
    loaded = load_embedding(path)
    assert (loaded.kind, loaded.name) == ("scores", "scores.tsv")
    scorer = loaded.scorer(dataset)
    known = [dataset.triple("b", "s", "c"), dataset.triple("a", "r", "b")]
    scorer.check(known)
    assert scorer.scores(np.array(known)).tolist() == [-2000.0, 1.5]
    for absent in (("b", "r", "c"), ("c", "s", "c"), ("a", "r", "a")):
        with pytest.raises(
            EmbeddingError, match=rf"no score of {absent[1]}\({absent[0]},{absent[2]}\) \(1 of 3"
        ):
            scorer.scores(np.array([*known, dataset.triple(*absent)]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("r(a,b) 1.5\n", "no finite score behind a tab"),
        ("r(a,b)\tinf\n", "no finite score behind a tab"),
        ("r(a,b)\t1e999\n", "no finite score behind a tab"),
        ("r(a)\t1\n", "arity 1"),
        ("r(a,b)\t1\nr(a,b)\t2\n", r":2: a second score of r\(a,b\), 1.0 before"),
        ("% nothing\n", "no line with a score"),
    ],
)
def test_a_bad_file_of_scores_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "scores.tsv").write_text(text)
    with pytest.raises(EmbeddingError, match=message):
        load_embedding(tmp_path / "scores.tsv")
