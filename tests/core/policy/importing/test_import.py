"""What an import reads off a file, asks for, and refuses: on small checkpoints under the names of the public code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from proofrank.core.errors import PolicyError
from proofrank.core.graph import Dataset
from proofrank.core.policy import load_policy
from proofrank.core.policy.importing import Facts, ImportedPolicy, import_checkpoint, read_facts
from tests.helpers.datasets import DatasetMaker
from tests.helpers.public_checkpoints import state_dict_of

NETWORK: dict[str, Any] = {
    "atom_embedder": "transe",
    "state_embedder": "mean",
    "l2_norm": True,
    "sqrt_scale": False,
    "temperature": 0.1,
    "padding_atoms": 6,
}
"""Facts that suffice."""

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    """Predicates co-q, p, r; constants a, b, c. The public code reads co-q in a body as q."""
    return make_dataset(
        ["p(a,b).", "co-q(b,c).", "r(a,c)."],
        ["co-q(X,Z), co-q(Z,Y) -> r(X,Y)", "p(X,Y) -> r(X,Y)", "co-q(X,Y) -> p(X,Y)"],
    )


@pytest.fixture
def load(dataset: Dataset, tmp_path: Path) -> Callable[..., ImportedPolicy]:
    """A function that saves a state dict and imports it."""

    def importing(state: State, *, with_defaults: bool = False, **told: Any) -> ImportedPolicy:
        torch.save(state, tmp_path / "checkpoint.pt")
        return import_checkpoint(
            tmp_path / "checkpoint.pt", dataset, Facts({}).updated(told), with_defaults=with_defaults
        )

    return importing


Load = Callable[..., ImportedPolicy]


def refusal(load: Load, state: State, **told: Any) -> str:
    with pytest.raises(PolicyError) as caught:
        load(state, **{**NETWORK, **told})
    return str(caught.value)


# What the file tells


def test_sizes_and_settings_are_read_off_the_file(dataset: Dataset, load: Load) -> None:
    policy = load(state_dict_of(dataset), **NETWORK)

    config = policy.network.config
    assert (config.embedding_dim, config.hidden_dim, config.num_layers, config.max_variables) == (
        4,
        6,
        2,
        1000,
    )
    assert (config.atom_embedder, config.state_pooling, config.temperature) == ("transe", "mean", 0.1)
    assert (config.l2_norm, config.sqrt_scale, config.padding_atoms) == (True, False, 6)
    assert (policy.facts.settings.padding_states, policy.facts.settings.max_depth) == (20, 20)
    assert policy.file.factory is None
    assert policy.facts.defaults == {
        "max_depth": 20,
        "memory_pruning": True,
        "end_proof_action": True,
        "skip_unary_actions": False,
    }


def test_names_of_a_compiled_module_are_the_same_network(dataset: Dataset, load: Load) -> None:
    state = state_dict_of(dataset)
    plain = load(state, **NETWORK)

    compiled = load({f"_orig_mod.{name}": tensor for name, tensor in state.items()}, **NETWORK)

    assert compiled.file.is_compiled
    assert not plain.file.is_compiled
    for name, tensor in plain.network.state_dict().items():
        assert torch.equal(compiled.network.state_dict()[name], tensor)


@pytest.mark.parametrize("prefix", ["module.", "module._orig_mod.", "policy.", "model.policy."])
def test_names_behind_a_common_first_part_are_the_same_network(
    prefix: str, dataset: Dataset, load: Load
) -> None:
    state = state_dict_of(dataset)
    plain = load(state, **NETWORK)

    wrapped = load({f"{prefix}{name}": tensor for name, tensor in state.items()}, **NETWORK)

    assert (plain.file.prefix, wrapped.file.prefix) == ("", prefix.replace("_orig_mod.", ""))
    for name, tensor in plain.network.state_dict().items():
        assert torch.equal(wrapped.network.state_dict()[name], tensor)


def test_tensors_behind_another_first_part_than_the_rest_are_refused(dataset: Dataset, load: Load) -> None:
    names = list(state_dict_of(dataset))
    state = {name if name != names[0] else f"module.{name}": t for name, t in state_dict_of(dataset).items()}

    assert f"unknown tensors 'module.{names[0]}'" in refusal(load, state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_as_the_same_values_in_float32(
    dtype: torch.dtype, dataset: Dataset, load: Load
) -> None:
    half = {name: tensor.to(dtype) for name, tensor in state_dict_of(dataset).items()}
    expected = load({name: tensor.float() for name, tensor in half.items()}, **NETWORK)

    policy = load(half, **NETWORK)

    assert (expected.file.half, policy.file.half) == (None, str(dtype).removeprefix("torch."))
    for name, tensor in expected.network.state_dict().items():
        assert torch.equal(policy.network.state_dict()[name], tensor)


def test_double_precision_is_refused(dataset: Dataset, load: Load) -> None:
    state = {name: tensor.double() for name, tensor in state_dict_of(dataset).items()}

    assert "is torch.float64; expected torch.float32" in refusal(load, state)


def test_a_value_body_of_its_own_tells_the_factory_and_its_formulas(dataset: Dataset, load: Load) -> None:
    state = {
        name: tensor + 1.0 if ".value_body." in name else tensor
        for name, tensor in state_dict_of(dataset).items()
    }
    told = {name: NETWORK[name] for name in ("atom_embedder", "state_embedder", "padding_atoms")}

    config = load(state, **told).network.config

    assert (config.l2_norm, config.sqrt_scale, config.temperature) == (False, True, None)
    message = refusal(load, state)
    assert "told is l2_norm true; the file says false; tell factory train.create_components" in message
    patched = load(state, **NETWORK, factory="train.create_components")
    assert patched.network.config.l2_norm
    assert any("its value body is its own" in note for note in patched.facts.notes)


def test_storages_that_are_copies_tell_no_factory(dataset: Dataset, load: Load) -> None:
    state = {name: tensor.clone() for name, tensor in state_dict_of(dataset).items()}

    assert load(state, **NETWORK).file.factory is None


def test_a_value_body_that_shares_some_tensors_is_refused(dataset: Dataset, load: Load) -> None:
    state = state_dict_of(dataset)
    name = "mlp_extractor.value_body.input_transform.bias"
    state[name] = state[name] + 1.0

    assert "its value body shares 11 of 12 tensors with the policy's" in refusal(load, state)


def test_copies_and_the_value_network_are_left_out(dataset: Dataset, load: Load) -> None:
    state = state_dict_of(dataset)

    policy = load(state, **NETWORK)

    assert policy.file.num_left_out == sum(
        name.startswith(("pi_", "vf_", "action_net")) or ".value_" in name for name in state
    )


def test_an_actor_with_an_extractor_of_its_own_is_refused(dataset: Dataset, load: Load) -> None:
    state = state_dict_of(dataset)
    name = "pi_features_extractor.embedder.predicate_embedder.embedder.weight"
    state[name] = state[name] + 1.0

    assert f"'{name}' differs from the tensor of features_extractor" in refusal(load, state)


# What has to be told


def test_all_missing_facts_are_asked_for_with_their_defaults(dataset: Dataset, load: Load) -> None:
    with pytest.raises(PolicyError) as caught:
        load(state_dict_of(dataset), l2_norm=True, padding_atoms=6)

    message = str(caught.value)
    assert "the file does not tell atom_embedder, state_embedder, sqrt_scale, temperature;" in message
    assert "--sqrt-scale or --no-sqrt-scale, --temperature NUMBER|none" in message
    assert "atom_embedder transe, state_embedder mean, sqrt_scale false, temperature 0.1" in message


def test_defaults_are_taken_where_they_are_asked_for_and_listed(dataset: Dataset, load: Load) -> None:
    policy = load(state_dict_of(dataset), with_defaults=True, temperature=None)

    assert policy.network.config.temperature is None
    assert policy.network.config.l2_norm
    assert policy.facts.told == {"temperature": None}
    assert set(NETWORK) - {"temperature"} <= policy.facts.defaults.keys()


def test_told_settings_of_the_prover_are_kept(dataset: Dataset, load: Load) -> None:
    policy = load(state_dict_of(dataset), **NETWORK, padding_states=64, max_depth=7, skip_unary_actions=True)

    settings = policy.facts.settings
    assert (settings.padding_states, settings.max_depth, settings.skip_unary_actions) == (64, 7, True)
    assert any(
        "padding_states 64 as told; the file was trained with 20" in note for note in policy.facts.notes
    )


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"atom_embedder": "rotate"}, "atom_embedder is 'rotate', which cannot be imported"),
        (
            {"atom_embedder": "rnn"},
            "atom_embedder is 'rnn', which cannot be imported; the file has no tensors",
        ),
        ({"state_embedder": "concat"}, "expected one of sum, mean"),
        ({"temperature": 0}, "temperature is 0; expected a number above 0, or null for none"),
        ({"l2_norm": "yes"}, "l2_norm is 'yes'; expected true or false"),
        ({"padding_atoms": 0}, "padding_atoms is 0; expected a whole number from 1"),
        ({"l2_nrom": True}, "unknown fact 'l2_nrom'; did you mean 'l2_norm'"),
        ({"factory": "sb3"}, "told is factory 'sb3'; the names of its tensors are of the current generation"),
        ({"factory": "mine"}, "factory is 'mine'; expected one of train.create_components"),
        ({"attention_heads": 4}, "attention_heads is 4; expected 1"),
        ({"activation": "gelu"}, "activation is 'gelu'; expected relu, which the public code always has"),
    ],
)
def test_a_wrong_fact_is_refused_by_its_name(
    told: dict[str, Any], expected: str, dataset: Dataset, load: Load
) -> None:
    assert expected in refusal(load, state_dict_of(dataset), **told)


def test_a_facts_file_is_read_and_compared_with_the_checkpoint(dataset: Dataset, tmp_path: Path) -> None:
    torch.save(state_dict_of(dataset), tmp_path / "checkpoint.pt")
    fields = {
        **NETWORK,
        "dataset": "elsewhere",
        "config_says": {"temperature": 3.0},
        "engine": {"memory_pruning": False},
        "in_file": {"embedding_dim": 4},
    }
    (tmp_path / "facts.json").write_text(json.dumps(fields), encoding="utf-8")
    facts = read_facts(tmp_path / "facts.json")

    policy = import_checkpoint(tmp_path / "checkpoint.pt", dataset, facts)

    assert policy.network.config.temperature == 0.1
    assert not policy.facts.settings.memory_pruning
    assert policy.unused_facts == ("config_says",)
    assert any("the facts are of dataset 'elsewhere'" in note for note in policy.facts.notes)
    fields["in_file"] = {"embedding_dim": 5}
    (tmp_path / "facts.json").write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(PolicyError, match="told is embedding_dim 5; the file says 4"):
        import_checkpoint(tmp_path / "checkpoint.pt", dataset, read_facts(tmp_path / "facts.json"))


@pytest.mark.parametrize("content", ["", "[]", "{", '{"engine": 3}', '{"l2_norm": 1}', "[" * 100_000])
def test_a_bad_facts_file_is_refused_with_its_path(content: str, tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text(content, encoding="utf-8")

    with pytest.raises(PolicyError, match=r"facts\.json: "):
        read_facts(tmp_path / "facts.json")


# The vocabulary


def test_rows_of_names_that_the_public_code_cuts_are_recognised(
    dataset: Dataset, load: Load, tmp_path: Path
) -> None:
    state = state_dict_of(dataset, num_extra_predicates=1)
    table = state["features_extractor.embedder.predicate_embedder.embedder.weight"]

    policy = load(state, **NETWORK)
    policy.save(tmp_path / "policy")
    loaded = load_policy(tmp_path / "policy", dataset)
    whole = load_policy(tmp_path / "policy", with_unused_predicates=True)

    assert policy.names.cut_names == {"co-q": "q"}
    # By name: co-q, p, q, r, True, False, Endf. Without q, which no state has:
    assert whole.vocabulary.predicates == ("co-q", "p", "q", "r")
    assert torch.equal(whole.network.embedding.predicates, table)
    assert loaded.vocabulary == dataset.vocabulary
    assert torch.equal(loaded.network.embedding.predicates, table[[0, 1, 2, 4, 5, 6, 7]])


def test_a_table_of_the_names_of_the_dataset_has_none_cut(dataset: Dataset, load: Load) -> None:
    policy = load(state_dict_of(dataset), **NETWORK)

    assert policy.names.cut_names == {}
    assert policy.vocabulary == dataset.vocabulary


def test_another_dataset_is_refused_with_both_numbers(dataset: Dataset, load: Load) -> None:
    message = refusal(load, state_dict_of(dataset, num_extra_predicates=2))

    assert "its table has 5 predicates beside True, False and Endf" in message
    assert "has 3 (or 4, as the public code reads the bodies of its rules)" in message


def test_scores_of_an_embedding_as_predicates_are_recognised_and_refused(
    dataset: Dataset, load: Load
) -> None:
    message = refusal(load, state_dict_of(dataset, num_extra_predicates=3))

    assert "twice as many is what it makes with scores of a knowledge graph embedding" in message


def test_another_number_of_variables_must_be_told(dataset: Dataset, load: Load) -> None:
    state = state_dict_of(dataset, num_variables=50)

    message = refusal(load, state)

    assert "its table has 53 constants and variables" in message
    assert "has 3 constants, with 1000 variables (as the public code always makes) 1003 rows" in message
    assert message.endswith("or tell number_of_variables 50")
    assert load(state, **NETWORK, number_of_variables=50).network.config.max_variables == 50
    assert "(as told)" in refusal(load, state, number_of_variables=40)


# Tensors


def without(part: str) -> Callable[[State], State]:
    return lambda state: {name: tensor for name, tensor in state.items() if part not in name}


def as_dtype(part: str, dtype: torch.dtype) -> Callable[[State], State]:
    return lambda state: {
        name: tensor.to(dtype) if part in name else tensor for name, tensor in state.items()
    }


TENSORS: dict[str, tuple[Callable[[State], State], str]] = {
    "a table is missing": (without("predicate_embedder"), "no table or matrix for embedding.predicates"),
    "a bias is missing": (without("policy_head_final.bias"), "lacks head_output.bias"),
    "a block is missing": (
        without("shared_body.res_blocks.0."),
        "lacks mlp_extractor.shared_body.res_blocks.0",
    ),
    "another number type": (
        as_dtype("policy_head_final.bias", torch.float64),
        "is torch.float64; expected torch.float32",
    ),
    "an unknown tensor": (
        lambda state: {**state, "features_extractor.embedder.image_encoder.weight": torch.ones(2)},
        "unknown tensors 'features_extractor.embedder.image_encoder.weight'",
    ),
    "a network of someone else": (
        lambda state: {"encoder.weight": torch.ones(2, 2)},
        "unknown tensors 'encoder.weight'; expected those of an ActorCriticPolicy",
    ),
    "a padding row": (
        lambda state: {
            name: tensor + 1.0 if "predicate_embedder" in name else tensor for name, tensor in state.items()
        },
        "row 0 of embedding.predicates is padding and must be zero",
    ),
    "no number": (
        lambda state: {**state, "mlp_extractor.policy_head_final.bias": torch.full((4,), torch.nan)},
        "head_output.bias holds values that are not finite",
    ),
    "compiled and not": (
        lambda state: {**state, "_orig_mod.action_net.bias": torch.ones(20)},
        "both compiled and not",
    ),
    "states that are joined": (
        lambda state: {**state, "mlp_extractor.shared_body.input_transform.weight": torch.ones(6, 24)},
        "the state embedder concat is not supported",
    ),
    "halves of a complex number": (
        lambda state: {
            name: tensor.repeat(1, 2) if "predicate_embedder" in name else tensor
            for name, tensor in state.items()
        },
        "predicates have 8 numbers, constants 4",
    ),
}


@pytest.mark.parametrize("problem", TENSORS)
def test_other_tensors_are_refused_for_what_is_wrong(problem: str, dataset: Dataset, load: Load) -> None:
    change, expected = TENSORS[problem]

    assert expected in refusal(load, change(state_dict_of(dataset)))


def test_a_policy_is_not_overwritten_unless_asked(dataset: Dataset, load: Load, tmp_path: Path) -> None:
    policy = load(state_dict_of(dataset), **NETWORK)
    policy.save(tmp_path / "policy")

    with pytest.raises(PolicyError, match="holds a policy; expected an empty or a new folder"):
        policy.save(tmp_path / "policy")
    policy.save(tmp_path / "policy", overwrite=True)
