"""Checkpoints: saved and loaded again, imported under other key names, and refused with the exact error."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from proofrank.core.errors import PolicyError
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, PolicyConfig, PolicyNetwork, build_network, load_policy, save_policy
from proofrank.core.prover import ProverSettings
from tests.helpers.datasets import DatasetMaker
from tests.helpers.full_disk import no_room_for

CONFIG = PolicyConfig(
    embedding_dim=4, hidden_dim=6, num_layers=2, state_pooling="mean", temperature=0.5, max_variables=50
)
SETTINGS = ProverSettings(padding_atoms=4, max_depth=7)

RULE = "p(X,Z), q(Z,Y) -> q(X,Y)"


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    """Predicates p, q; constants a, b, c."""
    return make_dataset(["p(a,b).", "q(b,c)."], [RULE])


@pytest.fixture
def network(dataset: Dataset) -> PolicyNetwork:
    torch.manual_seed(0)
    made = build_network(CONFIG, dataset.vocabulary)
    torch.nn.init.normal_(made.embedding.predicates[1:])
    torch.nn.init.normal_(made.embedding.arguments[1:])
    return made


@pytest.fixture
def checkpoint(tmp_path: Path, dataset: Dataset, network: PolicyNetwork) -> Path:
    """A valid checkpoint that a test may damage."""
    folder = tmp_path / "policy"
    save_policy(folder, network, dataset.vocabulary, SETTINGS, {"epochs": 3})
    return folder


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    fields = json.loads(path.read_text(encoding="utf-8"))
    change(fields)
    path.write_text(json.dumps(fields), encoding="utf-8")


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / "policy.safetensors")
    change(tensors)
    save_file(tensors, folder / "policy.safetensors")


def logits(policy_network: PolicyNetwork) -> list[float]:
    state = torch.tensor([[1, 1, 2], [2, 4, 5]])
    return policy_network(state, torch.stack([state, state.flip(0), torch.zeros_like(state)])).tolist()


def as_deepprooflog(folder: Path) -> None:
    """Rewrites a checkpoint under the key names of the old generation of the public DeepProofLog code."""
    body, head = "mlp_extractor.shared_network.shared_body.", "mlp_extractor.shared_network.policy_head."
    names = {
        "embedding.predicates": "features_extractor.embedder.predicate_embedder.embedder.weight",
        "embedding.arguments": "features_extractor.embedder.constant_embedder.embedder.weight",
    }
    for kind in ("weight", "bias"):
        names[f"body_input.{kind}"] = f"{body}input_transform.0.{kind}"
        names[f"body_norm.{kind}"] = f"{body}input_transform.2.{kind}"
        names[f"head_hidden.{kind}"] = f"{head}out_transform.0.{kind}"
        names[f"head_output.{kind}"] = f"{head}out_transform.2.{kind}"
        for block in range(CONFIG.num_layers):
            names[f"body_blocks.{block}.linear.{kind}"] = f"{body}res_blocks.{block}.0.{kind}"
            names[f"body_blocks.{block}.norm.{kind}"] = f"{body}res_blocks.{block}.2.{kind}"
    tensors = load_file(folder / "policy.safetensors")
    save_file({names[name]: tensor for name, tensor in tensors.items()}, folder / "policy.safetensors")
    fields = json.loads((folder / "policy.json").read_text(encoding="utf-8"))["network"]
    fields["keys"] = sorted(names.values())
    (folder / "policy.json").write_text(json.dumps(fields), encoding="utf-8")


# Round trips


def test_a_saved_policy_is_loaded_as_it_was(
    checkpoint: Path, dataset: Dataset, network: PolicyNetwork
) -> None:
    policy = load_policy(checkpoint, dataset)

    assert policy.name == "policy"
    assert policy.network.config == CONFIG
    assert policy.settings == SETTINGS
    assert policy.vocabulary == dataset.vocabulary
    assert logits(policy.network) == logits(network)
    for name, tensor in network.state_dict().items():
        assert torch.equal(policy.network.state_dict()[name], tensor)


def test_a_loaded_network_is_in_evaluation_mode_and_without_gradients(checkpoint: Path) -> None:
    network = load_policy(checkpoint).network

    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_content_hash_is_that_of_all_three_files(checkpoint: Path) -> None:
    def content_hash() -> str:
        return load_policy(checkpoint).content_hash

    hashes = [content_hash(), content_hash()]
    change_weights(checkpoint, lambda tensors: tensors["head_output.bias"].add_(1.0))
    hashes.append(content_hash())
    change_json(checkpoint / "policy.json", lambda fields: fields["prover"].update(max_depth=8))
    hashes.append(content_hash())
    change_json(checkpoint / "vocab.json", lambda fields: fields.update(note="hello"))
    hashes.append(content_hash())

    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4


def test_key_names_of_the_old_generation_are_read(
    checkpoint: Path, dataset: Dataset, network: PolicyNetwork
) -> None:
    as_deepprooflog(checkpoint)

    policy = load_policy(checkpoint, dataset)

    assert policy.settings is None
    assert policy.network.config.max_variables == 50
    assert policy.network.config.state_pooling == "mean"
    assert logits(policy.network) == logits(network)


# The vocabulary must be the graph's


def refusal(folder: Path, dataset: Dataset | None = None) -> str:
    with pytest.raises(PolicyError) as caught:
        load_policy(folder, dataset)
    return str(caught.value)


def test_a_graph_with_another_constant_is_refused_by_its_name(
    checkpoint: Path, make_dataset: DatasetMaker
) -> None:
    other = make_dataset(["p(a,b).", "q(b,d)."], [RULE])

    message = refusal(checkpoint, other)

    assert "policy 'policy' does not fit dataset" in message
    assert "the policy lacks 1 constant ('d') of the graph" in message
    assert "the graph lacks 1 constant ('c') of the policy" in message


def test_a_graph_with_more_predicates_is_refused_by_their_names(
    checkpoint: Path, make_dataset: DatasetMaker
) -> None:
    other = make_dataset(["p(a,b).", "q(b,c).", *(f"r{number}(a,b)." for number in range(4))], [RULE])

    assert "the policy lacks 4 predicates ('r0', 'r1', 'r2', …) of the graph" in refusal(checkpoint, other)


def test_the_same_names_in_another_order_are_refused(checkpoint: Path, dataset: Dataset) -> None:
    change_json(checkpoint / "vocab.json", lambda fields: fields["constants"].reverse())

    assert "constant 1 is 'c' in the policy, 'a' in the graph" in refusal(checkpoint, dataset)


def test_without_a_graph_a_policy_is_loaded_and_may_be_checked_later(
    checkpoint: Path, make_dataset: DatasetMaker
) -> None:
    policy: Policy = load_policy(checkpoint)

    with pytest.raises(PolicyError, match="does not fit"):
        policy.check_fits(make_dataset(["p(a,b).", "q(b,d)."], [RULE]))


# Weights


def set_nan(tensors: dict[str, Tensor]) -> None:
    tensors["head_output.bias"][1] = torch.nan


def set_infinite(tensors: dict[str, Tensor]) -> None:
    tensors["body_blocks.1.linear.weight"][0, 0] = torch.inf


def set_padding(tensors: dict[str, Tensor]) -> None:
    tensors["embedding.arguments"][0, 0] = 0.5


WEIGHT_ERRORS: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "a missing tensor": (lambda tensors: tensors.pop("body_norm.bias"), "lacks body_norm.bias; expected 18"),
    "a tensor too many": (lambda tensors: tensors.update(extra=torch.zeros(1)), "has extra; expected 18"),
    "another name": (
        lambda tensors: tensors.update(head=tensors.pop("head_output.bias")),
        "lacks head_output.bias and has head",
    ),
    "another shape": (
        lambda tensors: tensors.update({"body_input.weight": torch.zeros(6, 5)}),
        "body_input.weight has shape [6, 5]; expected [6, 4]",
    ),
    "too few constants": (
        lambda tensors: tensors.update({"embedding.arguments": torch.zeros(53, 4)}),
        "embedding.arguments has shape [53, 4]; expected [54, 4]",
    ),
    "another dtype": (
        lambda tensors: tensors.update({"head_output.bias": torch.zeros(4, dtype=torch.float16)}),
        "head_output.bias is torch.float16; expected torch.float32",
    ),
    "not a number": (set_nan, "head_output.bias holds values that are not finite"),
    "infinity": (set_infinite, "body_blocks.1.linear.weight holds values that are not finite"),
    "a padding row": (set_padding, "row 0 of embedding.arguments is padding and must be zero"),
}


@pytest.mark.parametrize("error", WEIGHT_ERRORS)
def test_wrong_weights_are_refused_for_exactly_what_is_wrong(error: str, checkpoint: Path) -> None:
    change, expected = WEIGHT_ERRORS[error]
    change_weights(checkpoint, change)

    message = refusal(checkpoint)

    assert message.startswith(f"{checkpoint / 'policy.safetensors'}: ")
    assert expected in message


def test_imported_weights_are_checked_as_well(checkpoint: Path) -> None:
    as_deepprooflog(checkpoint)
    change_weights(checkpoint, lambda tensors: tensors.update({"value_head.weight": torch.zeros(1)}))

    assert "has value_head.weight" in refusal(checkpoint)


# No pickle


class Exploding:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_a_pickle_in_the_place_of_weights_is_refused_and_never_run(
    writer: str, checkpoint: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "unpickled"
    with (checkpoint / "policy.safetensors").open("wb") as file:
        if writer == "pickle":
            pickle.dump(Exploding(mark), file)
        else:
            torch.save({"weight": Exploding(mark)}, file)

    message = refusal(checkpoint)

    assert "policy.safetensors: not a safetensors file" in message
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"\x00" * 8, b"\xff" * 64, b"{}"])
def test_garbage_in_the_place_of_weights_is_refused(content: bytes, checkpoint: Path) -> None:
    (checkpoint / "policy.safetensors").write_bytes(content)

    assert "policy.safetensors: " in refusal(checkpoint)


def test_a_truncated_weights_file_is_refused(checkpoint: Path) -> None:
    path = checkpoint / "policy.safetensors"
    path.write_bytes(path.read_bytes()[:-10])

    assert "policy.safetensors: not a safetensors file" in refusal(checkpoint)


# Config and vocabulary

CONFIG_ERRORS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another format": (lambda fields: fields.update(format="other-2"), "'format' is 'other-2'; expected"),
    "no format": (lambda fields: fields.pop("format"), "'format' is None; expected"),
    "no network": (lambda fields: fields.pop("network"), "'network' is None; expected an object"),
    "an unknown field": (
        lambda fields: fields["network"].update(depth=3),
        "unknown policy config 'depth'",
    ),
    "a bad value": (
        lambda fields: fields["network"].update(hidden_dim="many"),
        "hidden_dim is 'many'; expected a whole number",
    ),
    "a bad prover setting": (
        lambda fields: fields["prover"].update(max_depth=0),
        "max_depth is 0; expected at least 1",
    ),
}

VOCABULARY_ERRORS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no constants": (lambda fields: fields.pop("constants"), "'constants' is no list of names"),
    "a number for a name": (lambda fields: fields.update(constants=[1]), "'constants' is no list of names"),
    "a name twice": (lambda fields: fields["constants"].append("a"), "'constants' holds a name twice"),
    "no terminal predicates": (
        lambda fields: fields.update(predicates=["p", "q"]),
        "expected ['True', 'False', 'Endf']",
    ),
    "another padding": (lambda fields: fields.update(padding_index=7), "'padding_index' is 7; expected 0"),
    "another first variable": (
        lambda fields: fields.update(first_variable_index=9),
        "'first_variable_index' is 9; expected 4",
    ),
    "odd variables": (lambda fields: fields.update(max_variables="all"), "'max_variables' is 'all'"),
}


@pytest.mark.parametrize("error", CONFIG_ERRORS)
def test_a_wrong_config_is_refused_for_exactly_what_is_wrong(error: str, checkpoint: Path) -> None:
    change, expected = CONFIG_ERRORS[error]
    change_json(checkpoint / "policy.json", change)

    message = refusal(checkpoint)

    assert message.startswith(f"{checkpoint / 'policy.json'}: ")
    assert expected in message


@pytest.mark.parametrize("error", VOCABULARY_ERRORS)
def test_a_wrong_vocabulary_is_refused_for_exactly_what_is_wrong(error: str, checkpoint: Path) -> None:
    change, expected = VOCABULARY_ERRORS[error]
    change_json(checkpoint / "vocab.json", change)

    message = refusal(checkpoint)

    assert message.startswith(f"{checkpoint / 'vocab.json'}: ")
    assert expected in message


def test_a_wrong_config_of_an_imported_policy_is_refused_with_its_file(checkpoint: Path) -> None:
    as_deepprooflog(checkpoint)
    change_json(checkpoint / "policy.json", lambda fields: fields.update(atom_embedder="rotate"))

    message = refusal(checkpoint)

    assert message.startswith(f"{checkpoint / 'policy.json'}: ")
    assert "atom_embedder is 'rotate'" in message


def test_a_config_far_larger_than_its_weights_is_refused_without_making_the_network(checkpoint: Path) -> None:
    # 1,024 layers of 65,536 by 65,536 would need 16 TiB.
    change_json(
        checkpoint / "policy.json", lambda fields: fields["network"].update(hidden_dim=65536, num_layers=1024)
    )

    assert "policy.safetensors: lacks body_blocks.10.linear.bias" in refusal(checkpoint)


@pytest.mark.parametrize("name", ["policy.json", "vocab.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(name: str, content: bytes, checkpoint: Path) -> None:
    (checkpoint / name).write_bytes(content)

    assert refusal(checkpoint).startswith(f"{checkpoint / name}: ")


@pytest.mark.parametrize("name", ["policy.safetensors", "policy.json", "vocab.json"])
def test_a_missing_file_is_named(name: str, checkpoint: Path) -> None:
    (checkpoint / name).unlink()

    assert f"{checkpoint / name}: cannot be read" in refusal(checkpoint)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "nowhere")


def test_a_misspelt_folder_is_told_with_the_nearest_one(checkpoint: Path) -> None:
    wrong = checkpoint.with_name(f"{checkpoint.name}s")
    assert refusal(wrong).endswith(f"; did you mean '{checkpoint}'?")


def test_a_file_in_place_of_a_folder_is_told_with_what_makes_one(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "policy.pt")

    for message in (refusal(tmp_path / "policy.pt"), refusal(tmp_path)):
        assert "proofrank import makes one of a checkpoint of the public DeepProofLog code" in message
        assert "proofrank.export_policy one of a torch module of your own" in message
    assert refusal(tmp_path / "policy.pt").startswith(
        f"{tmp_path / 'policy.pt'}: a file; expected a checkpoint folder"
    )
    assert "the folder has policy.pt" in refusal(tmp_path)


def test_a_policy_that_cannot_be_written_whole_leaves_the_one_before(
    checkpoint: Path, dataset: Dataset, network: PolicyNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_policy(checkpoint, dataset).content_hash
    no_room_for("vocab.json", monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        save_policy(checkpoint, network, dataset.vocabulary, ProverSettings(max_depth=3))

    assert load_policy(checkpoint, dataset).content_hash == before
    assert sorted(entry.name for entry in checkpoint.parent.iterdir()) == [checkpoint.name]
