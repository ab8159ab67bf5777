"""Interactions that PyKEEN's own modules compute: independent scores, and what is refused."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from proofrank.core.embedding import load_embedding, save_embedding
from proofrank.core.embedding.embedding import Embedding, RowScorer
from proofrank.core.embedding.interactions import INTERACTIONS
from proofrank.core.embedding.pykeen_modules import largest_difference, make_module
from proofrank.core.embedding.pykeen_options import PYKEEN_INTERACTIONS
from proofrank.core.errors import EmbeddingError
from tests.helpers.pykeen_models import ENTITIES, MODELS_OF_MODULES, RELATIONS, factory, make_model
from tests.helpers.web_libraries import ROOT

WITHOUT_PYKEEN = """
import sys

class Refuser:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pykeen":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuser())
"""

Damage = Callable[[dict[str, Any], dict[str, Tensor]], object]


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def saved(case: str, folder: Path) -> Path:
    save_embedding(make_model(case), factory(), folder)
    return folder


def damaged(folder: Path, damage: Damage) -> None:
    """Changes the files of an embedding."""
    config, weights = (
        json.loads((folder / "config.json").read_text()),
        load_file(folder / "embedding.safetensors"),
    )
    damage(config, weights)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "embedding.safetensors")


def swapped(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The boxes of heads and of tails, changed for each other."""
    return {f"relation.{place}": weights[f"relation.{(place + 3) % 6}"].clone() for place in range(6)}


def test_every_interaction_that_pykeen_makes_is_one_of_ours_or_of_its_modules() -> None:
    from pykeen.nn.modules import interaction_resolver

    made = {of.__name__.removesuffix("Interaction") for of in interaction_resolver.lookup_dict.values()}
    assert INTERACTIONS.keys() | PYKEEN_INTERACTIONS.keys() == made
    assert not INTERACTIONS.keys() & PYKEEN_INTERACTIONS.keys()
    assert {case.partition(",")[0] for case in MODELS_OF_MODULES} == PYKEEN_INTERACTIONS.keys()


@pytest.mark.parametrize("case", MODELS_OF_MODULES)
def test_a_score_has_the_same_bits_whatever_is_scored_beside_it(case: str, tmp_path: Path) -> None:
    model = make_model(case)
    for representation in model.entity_representations:
        rows = representation._embeddings.weight.data
        rows[-1] = rows[-2]
    scorer = RowScorer(save_embedding(model, factory(), tmp_path), "cpu")
    generator = np.random.default_rng(2)
    heads, tails = generator.integers(0, len(ENTITIES), (2, 700))
    relations = generator.integers(0, len(RELATIONS), 700)
    together = scorer.scores(heads, relations, tails)
    some = generator.permutation(700)[:333]
    assert np.array_equal(scorer.scores(heads[some], relations[some], tails[some]), together[some])
    for row in (0, 300, 699):
        alone = scorer.scores(heads[row : row + 1], relations[row : row + 1], tails[row : row + 1])
        assert alone[0] == together[row]
    # Entities with equal rows tie exactly.
    last = np.full(700, len(ENTITIES) - 1)
    assert np.array_equal(scorer.scores(heads, relations, last), scorer.scores(heads, relations, last - 1))
    assert len(scorer.scores(heads[:0], relations[:0], tails[:0])) == 0


def test_a_copy_for_another_process_scores_the_same_and_needs_pykeen_there(tmp_path: Path) -> None:
    scorer = RowScorer(save_embedding(make_model("ConvE"), factory(), tmp_path), "cpu")
    rows = np.arange(6) % 3
    (tmp_path / "copy").write_bytes(pickle.dumps(scorer))
    code = f"""
{WITHOUT_PYKEEN}
import pickle, pathlib
pickle.loads(pathlib.Path(sys.argv[1], "copy").read_bytes())
"""
    done = run_python(code, tmp_path)
    assert "EmbeddingError: interaction 'ConvE' is computed by PyKEEN and needs pykeen" in done.stderr
    copy = pickle.loads((tmp_path / "copy").read_bytes())
    assert np.array_equal(copy.scores(rows, rows, 5 - rows), scorer.scores(rows, rows, 5 - rows))


def test_a_score_that_depends_on_its_place_or_company_is_found() -> None:
    columns = [torch.arange(256) % 9 for _ in range(3)]

    def fair(heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        return (heads + 2 * relations - tails).double() / 7

    def by_place(heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        return fair(heads, relations, tails) + 1e-15 * (torch.arange(len(heads)) % 2)

    def by_company(heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        return fair(heads, relations, tails) + 1e-15 * heads.double().mean()

    assert largest_difference(fair, columns) == 0
    assert 0 < largest_difference(by_place, columns) < 1e-14
    assert 0 < largest_difference(by_company, columns) < 1e-13


def test_without_pykeen_the_extra_is_named_and_our_own_formulas_still_score(tmp_path: Path) -> None:
    saved("TransH", tmp_path / "transh")
    save_embedding(make_model("DistMult"), factory(), tmp_path / "distmult")
    code = f"""
{WITHOUT_PYKEEN}
from proofrank import load_embedding
from proofrank.core.errors import EmbeddingError
print(load_embedding(sys.argv[1] + "/distmult").kind)
try:
    load_embedding(sys.argv[1] + "/transh")
except EmbeddingError as error:
    print(error)
"""
    done = run_python(code, tmp_path)
    assert done.stdout.splitlines()[0] == "DistMult"
    assert "'TransH' is computed by PyKEEN and needs pykeen: pip install 'proofrank[pykeen]'" in done.stdout


def test_reading_needs_no_pykeen_unless_a_module_of_its_computes(tmp_path: Path) -> None:
    save_embedding(make_model("DistMult"), factory(), tmp_path / "distmult")
    code = "import sys, proofrank; proofrank.load_embedding(sys.argv[1]); print('pykeen' in sys.modules)"
    done = run_python(code, tmp_path / "distmult")
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("case", "damage", "message"),
    [
        ("TransH", lambda config, _: config.update(interaction="Clamped"), "'interaction' is 'Clamped'"),
        ("TransH", lambda config, _: config.update(interaction="os.system"), "'interaction' is 'os.system'"),
        ("TransH", lambda config, _: config["options"].pop("p"), "option 'p' of TransH is missing"),
        ("TransH", lambda config, _: config["options"].update(p="fro"), "option 'p' of TransH is 'fro'"),
        (
            "TransH",
            lambda config, _: config["options"].update(base="NTN"),
            "option 'base' of TransH is unknown",
        ),
        (
            "ERMLP",
            lambda config, _: config["options"].update(hidden_dim=10**9),
            "'hidden_dim' .* from 1 to 65536",
        ),
        ("ERMLP", lambda config, _: config["options"].update(hidden_dim=8), r"has shape \[.*expected \[8"),
        (
            "ERMLP",
            lambda config, _: config["options"].update(activation="Module"),
            "'activation' .* one of CELU",
        ),
        (
            "ConvE",
            lambda config, _: config["options"].update(kernel_width=9),
            "PyKEEN refuses the options of ConvE",
        ),
        (
            "AutoSF",
            lambda config, _: config["options"].update(coefficients=[[0, 0, 0, 2]]),
            "option 'coefficients'",
        ),
        (
            "AutoSF",
            lambda config, _: config["options"].update(coefficients=[[9, 0, 0, 1]]),
            "refuses the tensors",
        ),
        ("Transformer", lambda config, _: config["options"].update(num_layers=10**6), "'num_layers'"),
        ("Transformer", lambda config, _: config["options"].update(num_heads=3), "refuses the options"),
        ("MuRE", lambda _, weights: weights.pop("entity.2"), "has tensors entity.0, entity.1, relation.0"),
        ("MuRE", lambda _, weights: weights.update({"interaction.x": torch.zeros(1)}), "has tensors"),
        (
            "NTN",
            lambda _, weights: weights.update({"relation.3": torch.zeros(3, 4)}),
            r"'relation.3' has shape \[3, 4\]",
        ),
        ("TransD", lambda config, _: config.pop("checks"), "'checks' is .*; expected scores"),
        ("TransD", lambda config, _: config["checks"][3].append(1), "'checks' has .*; expected the rows"),
        (
            "TransD",
            lambda config, _: config["checks"][3].__setitem__(0, 8),
            "'checks' has .*; expected the rows",
        ),
        (
            "TransD",
            lambda config, _: config["checks"].extend([[0, 0, 0, 1.0]] * 1024),
            "'checks' has 1056 scores",
        ),
        ("TransD", lambda config, _: config["options"].update(p=3), "differ from .*'checks'.*saved it, '1.1"),
        ("BoxE", lambda _, weights: weights.update(swapped(weights)), "differ from .*'checks'"),
        ("UM", lambda _, weights: weights["entity.0"].mul_(1e30), "gives a score that is not finite"),
        (
            "QuatE",
            lambda _, weights: weights.update({"entity.0": torch.zeros(8, 5, 3)}),
            "'relation.0' has shape",
        ),
    ],
)
def test_what_is_wrong_is_named(case: str, damage: Damage, message: str, tmp_path: Path) -> None:
    folder = saved(case, tmp_path / "saved")
    if case == "UM":
        damaged(folder, lambda config, _: config["options"].update(p=100, power_norm=True))
    damaged(folder, damage)
    with pytest.raises(EmbeddingError, match=message):
        RowScorer(load_embedding(folder), "cpu")  # pyright: ignore[reportArgumentType]


def test_models_that_do_not_score_each_triple_by_itself_are_refused(tmp_path: Path) -> None:
    def refused(model: Any, message: str) -> None:
        with pytest.raises(EmbeddingError, match=message):
            save_embedding(model, factory(), tmp_path / "refused")
        assert not (tmp_path / "refused").exists()

    from pykeen.nn.modules import ClampedInteraction
    from pykeen.nn.sim import ExpectedLikelihood

    model = make_model("KG2E")
    model.interaction.similarity = ExpectedLikelihood(exact=True)
    refused(model, "grows with the number of triples scored at once; expected exact=False")
    model.interaction.similarity = ExpectedLikelihood(exact=False)
    save_embedding(model, factory(), tmp_path / "inexact")
    model = make_model("TransH")
    model.interaction = ClampedInteraction(base=model.interaction, clamp_score=(-1.0, None))
    refused(model, r"clamped to \(-1.0, None\); expected clamp_score=None, or SimplE")
    model = make_model("NTN")
    model.interaction.activation = nn.LeakyReLU(0.3)
    refused(model, r"the activation is LeakyReLU\(negative_slope=0.3\); expected one of CELU")


def scores_of(folder: Path) -> np.ndarray:
    """The scores of all triples of the small models."""
    rows = np.indices((len(ENTITIES), len(RELATIONS), len(ENTITIES))).reshape(3, -1)
    embedding = load_embedding(folder)
    assert isinstance(embedding, Embedding)
    return RowScorer(embedding, "cpu").scores(*rows)


def test_scores_are_clamped_to_the_bounds_that_the_model_has(tmp_path: Path) -> None:
    free = scores_of(saved("SimplE", tmp_path / "free"))
    assert np.abs(free).max() > 0.05
    bounds = {"both": (-0.05, 0.05), "low": (0.0, None), "high": (None, 0.01)}
    for name, (low, high) in bounds.items():
        model = make_model("SimplE, clamped")
        model.interaction.clamp_score = (low, high)
        save_embedding(model, factory(), tmp_path / name)
        assert json.loads((tmp_path / name / "config.json").read_text())["options"]["clamp_score"] == [
            low,
            high,
        ]
        assert np.array_equal(scores_of(tmp_path / name), np.clip(free, low, high))
    # A file of an older version names no bounds.
    damaged(tmp_path / "free", lambda config, weights: config["options"].clear())
    assert np.array_equal(scores_of(tmp_path / "free"), free)
    damaged(tmp_path / "both", lambda config, weights: config["options"].update(clamp_score=[1, 0]))
    with pytest.raises(
        EmbeddingError, match=r"'clamp_score' of SimplE is \[1, 0\]; expected null, or a list"
    ):
        load_embedding(tmp_path / "both")


def test_a_module_that_was_changed_is_refused(tmp_path: Path) -> None:
    model = make_model("TransD")
    forward = model.interaction.forward
    model.interaction.forward = lambda h, r, t: forward(t, r, h)
    with pytest.raises(EmbeddingError, match="scores differ from those of what is saved, TransD"):
        save_embedding(model, factory(), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_reading_an_embedding_leaves_pykeen_as_it_was() -> None:
    from pykeen.nn import quaternion
    from pykeen.nn.modules import QuatEInteraction

    quaternion.multiplication_table.cache_clear()
    with torch.inference_mode():
        make_module("QuatE", {})
    (table,) = QuatEInteraction().buffers()
    assert table.device.type == "cpu" and not table.is_inference() and float(table.abs().sum()) == 16
