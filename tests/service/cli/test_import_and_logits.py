"""``proofrank import`` and ``proofrank logits``: from a file of the public code to logits that agree with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from proofrank.core.graph import load_dataset
from proofrank.service.cli.main import main
from tests.helpers.datasets import SHARED
from tests.helpers.public_checkpoints import state_dict_of

TOLD = ["--atom-embedder", "transe", "--state-embedder", "mean", "--l2-norm", "--no-sqrt-scale"]
TOLD += ["--temperature", "0.1", "--padding-atoms", "6"]


@pytest.fixture
def checkpoint(family_folder: Path, tmp_path: Path) -> Path:
    """A state dict of the public code for the family of the tests."""
    torch.save(state_dict_of(load_dataset(family_folder)), tmp_path / "checkpoint.pt")
    return tmp_path / "checkpoint.pt"


def import_arguments(checkpoint: Path, dataset: Path, out: Path) -> list[str]:
    """``proofrank import`` without what the file does not tell."""
    return ["import", str(checkpoint), "--dataset", str(dataset), "--out", str(out)]


@pytest.fixture
def policy(checkpoint: Path, family_folder: Path, tmp_path: Path) -> Path:
    """The imported policy."""
    arguments = import_arguments(checkpoint, family_folder, tmp_path / "policy")
    assert main([*arguments, *TOLD]) == 0
    return tmp_path / "policy"


def probe(family_folder: Path, **fields: Any) -> dict[str, Any]:
    """A line about two constants of the family, a variable, and what ends a proof."""
    vocabulary = load_dataset(family_folder).vocabulary
    predicate, (first, second) = vocabulary.predicates[0], vocabulary.constants[:2]
    return {
        "id": 7,
        "state": [[predicate, first, "V3"], None, [predicate, "V3", second]],
        "actions": [[["True"]], [[predicate, second, "V3"]], [["Endf"]]],
        "variables": {"V3": 2},
        **fields,
    }


def logits(policy: Path, dataset: Path, lines: list[dict[str, Any]], *options: str) -> int:
    """Writes the lines beside the policy and runs the command."""
    path = policy.parent / "probes.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    arguments = ["logits", "--policy", str(policy), "--dataset", str(dataset), "--probes", str(path)]
    return main([*arguments, *options])


def test_an_import_says_what_was_read_and_told_and_taken(
    checkpoint: Path, family_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy"
    assert (
        main(["import", str(checkpoint), "--dataset", str(family_folder), "--out", str(policy), *TOLD]) == 0
    )
    out = capsys.readouterr().out

    vocabulary = load_dataset(family_folder).vocabulary
    assert "from the file: embedding_dim 4, hidden_dim 6, num_layers 2, padding_states 20" in out
    assert (
        "told: atom_embedder transe, state_embedder mean, l2_norm true, sqrt_scale false, temperature 0.1"
        in out
    )
    assert "the public code's defaults, since nobody told: max_depth 20, memory_pruning true" in out
    assert f"variables: 1000, the first with index {vocabulary.first_variable_index}" in out
    assert f"wrote {policy}" in out


def test_an_imported_policy_is_evaluated(policy: Path, family_folder: Path) -> None:
    arguments = ["evaluate", "--dataset", str(family_folder), "--policy", str(policy), "--corruptions", "2"]

    assert main([*arguments, "--max-depth", "5", "--engine", "eager"]) == 0


def test_a_file_that_does_not_tell_enough_is_asked_for_the_rest(
    checkpoint: Path, family_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = import_arguments(checkpoint, family_folder, tmp_path / "policy")

    assert main([*arguments, "--temperature", "none"]) == 2

    error = capsys.readouterr().err
    assert "the file does not tell atom_embedder, state_embedder, l2_norm, sqrt_scale, padding_atoms" in error
    assert not (tmp_path / "policy").exists()
    assert main([*arguments, "--temperature", "none", "--public-defaults"]) == 0
    fields = json.loads((tmp_path / "policy" / "policy.json").read_text(encoding="utf-8"))
    assert fields["network"]["temperature"] is None
    assert fields["network"]["l2_norm"] is True


def test_no_dataset_is_guessed(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["import", str(checkpoint), "--out", str(tmp_path / "policy"), *TOLD])
    assert "required: --dataset" in capsys.readouterr().err


def test_options_come_before_the_facts_file(checkpoint: Path, family_folder: Path, tmp_path: Path) -> None:
    facts = {"atom_embedder": "transe", "state_embedder": "mean", "l2_norm": True, "sqrt_scale": False}
    facts |= {"temperature": 0.1, "padding_atoms": 6}
    (tmp_path / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    arguments = import_arguments(checkpoint, family_folder, tmp_path / "policy")

    assert main([*arguments, "--facts", str(tmp_path / "facts.json"), "--padding-atoms", "4"]) == 0

    fields = json.loads((tmp_path / "policy" / "policy.json").read_text(encoding="utf-8"))
    assert (fields["network"]["padding_atoms"], fields["prover"]["padding_atoms"]) == (4, 4)


def test_logits_are_written_in_the_form_in_which_they_are_read(
    policy: Path, family_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"

    assert logits(policy, family_folder, [probe(family_folder)], "--out", str(out)) == 0

    assert "the file has no logits to compare with" in capsys.readouterr().out
    (line,) = [json.loads(text) for text in out.read_text(encoding="utf-8").splitlines()]
    assert {name: value for name, value in line.items() if name != "logits"} == probe(family_folder)
    assert len(line["logits"]) == 3
    assert logits(policy, family_folder, [line]) == 0
    assert "1 state compared with the file" in capsys.readouterr().out


def test_a_logit_that_differs_is_shown_and_fails(
    policy: Path, family_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    logits(policy, family_folder, [probe(family_folder)], "--out", str(out))
    line = json.loads(out.read_text(encoding="utf-8"))
    line["logits"][1] += 0.01
    capsys.readouterr()

    assert logits(policy, family_folder, [probe(family_folder), line]) == 1

    shown = capsys.readouterr().out
    assert "1 beyond the tolerance of 1e-05 * (1 + largest logit)" in shown
    assert "probes.jsonl:2: difference 1.00e-02" in shown
    assert logits(policy, family_folder, [line], "--tolerance", "0.1") == 0


def test_the_offset_of_a_variable_counts(policy: Path, family_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    logits(policy, family_folder, [probe(family_folder)], "--out", str(out))
    line = json.loads(out.read_text(encoding="utf-8"))

    assert logits(policy, family_folder, [{**line, "variables": {"V3": 3}}]) == 1


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"state": [["nowhere", "a", "b"]]}, "state: unknown predicate 'nowhere'"),
        ({"variables": {}}, "unknown constant 'V3'"),
        ({"variables": {"V3": 1000}}, "variable 'V3' has offset 1000; expected a whole number from 0 to 999"),
        ({"actions": []}, "'actions' is []; expected a list of states"),
        ({"actions": [[["Maybe"]]]}, "expected one of True, False, Endf"),
        ({"state": [["p", "a"]]}, "expected [predicate, first, second] or ['True']"),
        ({"state": "p(a,b)"}, "state is 'p(a,b)'; expected a list of atoms"),
        ({"logits": [1.0]}, "'logits' is [1.0]; expected 3 numbers, one an action"),
        ({"logits": [1.0, 2.0, None]}, "a logit is None; expected a finite float32"),
    ],
)
def test_a_bad_line_is_refused_with_its_place(
    fields: dict[str, Any],
    expected: str,
    policy: Path,
    family_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert logits(policy, family_folder, [probe(family_folder), probe(family_folder, **fields)]) == 2

    error = capsys.readouterr().err
    assert "probes.jsonl:2: " in error
    assert expected in error


def test_an_empty_file_is_refused(
    policy: Path, family_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert logits(policy, family_folder, []) == 2
    assert "no line; expected JSON lines" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["sb3-countries_s3", "compiled-countries_s3"])
def test_a_file_of_the_public_code_is_imported_and_checked_by_two_commands(
    name: str, shared_checkpoints: Path, tmp_path: Path
) -> None:
    folder, dataset = shared_checkpoints / name, SHARED / "data" / "countries_s3"
    file = next(folder.glob("checkpoint.*"))
    common = ["--dataset", str(dataset)]

    facts = ["--facts", str(folder / "facts.json")]
    assert main(["import", str(file), *common, "--out", str(tmp_path / "policy"), *facts]) == 0
    probes = ["--probes", str(folder / "probes.jsonl")]
    assert main(["logits", "--policy", str(tmp_path / "policy"), *common, *probes]) == 0
