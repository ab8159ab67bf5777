"""``proofrank check --policy`` says what a policy is, whatever form it has, and how it fits the dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from proofrank.core.errors import PolicyError
from proofrank.core.graph import Dataset
from proofrank.core.policy import load_policy
from proofrank.core.policy.importing import Facts, import_checkpoint
from proofrank.core.prover import ProverSettings
from proofrank.service.cli.main import main
from proofrank.service.client.operations import policy_files
from proofrank.service.policies.policy_at_start import PolicyAtStart
from proofrank.service.policies.store import PolicyStore
from proofrank.service.storage.database import Database
from proofrank.service.telemetry.metrics import ServiceMetrics
from tests.helpers.datasets import SHARED
from tests.helpers.family import write_untrained_policy
from tests.helpers.public_checkpoints import NAMES, checkpoint_file, state_dict_of

FACTS = {
    "atom_embedder": "transe",
    "state_embedder": "mean",
    "l2_norm": True,
    "sqrt_scale": False,
    "temperature": 0.1,
    "padding_atoms": 6,
}


CAN_BE_USED = (0, 1)
"""Statuses without an error; the dataset may have warnings of its own."""


def check(dataset: Path, policy: Path, out: Path) -> tuple[int, dict[str, Any]]:
    """The status, and what is written of the policy."""
    status = main(["check", "--dataset", str(dataset), "--policy", str(policy), "--json", str(out)])
    return status, json.loads(out.read_text(encoding="utf-8"))


def with_hub_names(folder: Path, out: Path) -> Path:
    """A copy under the names of the Hugging Face convention."""
    out.mkdir()
    names = {
        "policy.safetensors": "model.safetensors",
        "policy.json": "config.json",
        "vocab.json": "vocab.json",
    }
    for ours, hub in names.items():
        (out / hub).write_bytes((folder / ours).read_bytes())
    return out


def test_it_says_embedders_sizes_parameters_and_vocabulary(
    family_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_untrained_policy(
        tmp_path / "mine", family_folder, atom_embedder="attention", l2_norm=True, temperature=0.5
    )
    status, written = check(family_folder, folder, tmp_path / "check.json")
    printed = capsys.readouterr().out
    policy = load_policy(folder)
    num_parameters = sum(parameter.numel() for parameter in policy.network.parameters())
    num_rows = (1 + 2 + 3) + (1 + 8 + 200)
    assert status in CAN_BE_USED
    said = written["policy"]
    assert (said["name"], said["sha256"], said["misfit"]) == ("mine", policy.content_hash, None)
    assert said["num_parameters"] == num_parameters
    assert said["num_embedding_parameters"] == num_rows * 16
    assert (said["num_predicates"], said["num_constants"], said["num_variables"]) == (2, 8, 200)
    assert said["network"]["atom_embedder"] == "attention"
    assert f"policy mine ({policy.content_hash[:12]}) fits" in printed
    assert "atom embedder attention with 4 heads, state pooling sum over 6 places or more" in printed
    assert "embeddings of 16 numbers, a body of 2 blocks of 32" in printed
    assert "logits: l2_norm true, sqrt_scale true, temperature 0.5" in printed
    assert f"parameters: {num_parameters:,}, {num_rows * 16:,} of them in embeddings" in printed
    assert "2 predicates, 8 constants, 200 variables, of which 20 may be needed here" in printed
    assert "max_depth 20" in printed


def test_a_policy_that_does_not_fit_is_described_all_the_same(
    family_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = write_untrained_policy(
        tmp_path / "few", family_folder, settings=ProverSettings(max_depth=40), max_variables=39
    )
    status, written = check(family_folder, few, tmp_path / "check.json")
    assert status == 2
    assert written["policy"]["num_variables_needed"] == 40
    assert "embeds 39 variables; a trajectory of dataset 'family' may need 40" in written["error"]
    assert "does not fit" in capsys.readouterr().out

    other = tmp_path / "other"
    other.mkdir()
    for name in ("train", "valid", "test", "rules"):
        (other / f"{name}.txt").write_bytes((family_folder / f"{name}.txt").read_bytes())
    with (other / "train.txt").open("a", encoding="utf-8") as file:
        file.write("parent(anna,newborn).\n")
    status, written = check(other, few, tmp_path / "check.json")
    assert status == 2
    assert "the policy lacks 1 constant ('newborn') of the graph" in written["policy"]["misfit"]
    assert written["policy"]["network"]["embedding_dim"] == 16


def test_an_imported_policy_says_where_it_comes_from(
    family_folder: Path, family: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(state_dict_of(family), tmp_path / "epoch.pt")
    import_checkpoint(tmp_path / "epoch.pt", family, Facts(dict(FACTS))).save(tmp_path / "mine")
    status, written = check(family_folder, tmp_path / "mine", tmp_path / "check.json")
    assert status in CAN_BE_USED
    assert written["policy"]["imported"]["file"] == "epoch.pt"
    printed = capsys.readouterr().out
    assert "imported from epoch.pt (SHA-256 " in printed
    assert "told: atom_embedder transe, state_embedder mean, l2_norm true" in printed


def test_a_checkpoint_file_says_what_it_tells_and_what_must_be_told(
    family_folder: Path, family: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(state_dict_of(family), tmp_path / "epoch.pt")
    status, written = check(family_folder, tmp_path / "epoch.pt", tmp_path / "check.json")
    printed = capsys.readouterr().out
    assert status in CAN_BE_USED
    said = written["policy"]
    assert said["from_file"] == {"embedding_dim": 4, "hidden_dim": 6, "num_layers": 2, "padding_states": 20}
    assert set(said["missing"]) == set(FACTS)
    assert said["defaults"]["max_depth"] == 20
    assert "the file tells: embedding_dim 4, hidden_dim 6, num_layers 2, padding_states 20" in printed
    assert "must be told: l2_norm, true or false; the public code's default is true" in printed
    assert "its tables fit family: 2 predicates, 8 constants, 1000 variables" in printed
    assert "import it with: proofrank import" in printed

    torch.save(state_dict_of(family, num_extra_predicates=2), tmp_path / "epoch.pt")
    status, written = check(family_folder, tmp_path / "epoch.pt", tmp_path / "check.json")
    assert status == 2
    assert "its table has 4 predicates" in written["error"]
    assert written["policy"]["from_file"]["hidden_dim"] == 6

    (tmp_path / "epoch.pt").write_bytes(b"garbage")
    status, written = check(family_folder, tmp_path / "epoch.pt", tmp_path / "check.json")
    assert (status, written["policy"]) == (2, None)


@pytest.mark.parametrize("name", NAMES)
def test_each_file_of_the_public_code_is_described_as_its_facts_say(name: str, tmp_path: Path) -> None:
    source = SHARED / "checkpoints" / name
    if not source.is_dir():
        pytest.skip("no shared checkpoints")
    facts = json.loads((source / "facts.json").read_text(encoding="utf-8"))
    dataset = SHARED / "data" / facts["dataset"]
    status, written = check(dataset, checkpoint_file(source), tmp_path / "check.json")
    assert status in CAN_BE_USED
    said = written["policy"]
    assert said["misfit"] is None
    assert {size: said["from_file"][size] for size in ("embedding_dim", "hidden_dim", "num_layers")} == {
        size: facts["in_file"][size] for size in ("embedding_dim", "hidden_dim", "num_layers")
    }
    told = {**said["from_file"], **{fact: facts[fact] for fact in said["missing"]}}
    assert {fact: told[fact] for fact in FACTS} == {fact: facts[fact] for fact in FACTS}


def test_the_names_of_the_hugging_face_convention_are_read_everywhere(
    family_folder: Path, family: Dataset, tmp_path: Path
) -> None:
    folder = write_untrained_policy(tmp_path / "mine", family_folder)
    hub = with_hub_names(folder, tmp_path / "hub")
    policy = load_policy(folder)
    assert load_policy(hub, family).content_hash == policy.content_hash
    assert check(family_folder, hub, tmp_path / "check.json")[1]["policy"]["sha256"] == policy.content_hash
    sent = {field: path.name for field, path in policy_files(hub).items()}
    assert sent == {"weights": "model.safetensors", "config": "config.json", "vocabulary": "vocab.json"}
    (tmp_path / "data").mkdir()
    database = Database.open(tmp_path / "data")
    try:
        store = PolicyStore(tmp_path / "data", database, 3)
        assert PolicyAtStart(store, hub, ServiceMetrics()).first(family).content_hash == policy.content_hash
    finally:
        database.close()


def test_our_config_comes_before_another_ones_and_two_files_of_weights_are_refused(
    family_folder: Path, tmp_path: Path
) -> None:
    folder = write_untrained_policy(tmp_path / "mine", family_folder)
    expected = load_policy(folder).content_hash
    (folder / "config.json").write_text('{"dataset": "of a recording"}', encoding="utf-8")
    assert load_policy(folder).content_hash == expected
    (folder / "model.safetensors").write_bytes((folder / "policy.safetensors").read_bytes())
    with pytest.raises(PolicyError, match=r"has policy\.safetensors and model\.safetensors; expected one"):
        load_policy(folder)


def test_errors_name_the_file_that_is_there(family_folder: Path, tmp_path: Path) -> None:
    hub = with_hub_names(write_untrained_policy(tmp_path / "mine", family_folder), tmp_path / "hub")
    (hub / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(PolicyError, match=r"config\.json: not JSON"):
        load_policy(hub)
    (hub / "model.safetensors").rename(hub / "model-00001-of-00002.safetensors")
    (hub / "model.safetensors.index.json").write_text("{}", encoding="utf-8")
    with pytest.raises(PolicyError, match="weights in several files"):
        load_policy(hub)
