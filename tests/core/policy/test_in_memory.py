"""Policies in memory with networks of somebody's own: their files, and copies."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from proofrank.core.errors import PolicyError
from proofrank.core.policy import files_of, load_policy, policy_of
from proofrank.core.policy.exporting import export_policy
from proofrank.core.policy.files import CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from proofrank.core.prover import ProverSettings
from tests.helpers.own_networks import NETWORKS, default_dataset, exported_policy, make_network


def test_the_files_of_a_policy_are_those_that_it_was_loaded_from(tmp_path: Path) -> None:
    dataset = default_dataset()
    network = make_network("two towers", dataset)
    settings = ProverSettings(max_depth=7)
    policy = export_policy(network, dataset, tmp_path, settings, logit_scale=2.5, training={"lr": 0.1})

    files = files_of(policy, {"lr": 0.1})

    assert (policy.model.logit_scale, policy.settings) == (2.5, settings)
    assert sorted(files) == sorted((WEIGHTS_FILE, CONFIG_FILE, VOCABULARY_FILE))
    for name, content in files.items():
        assert content == (tmp_path / name).read_bytes(), name


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_copy_keeps_its_weights_when_the_original_changes(kind: str, tmp_path: Path) -> None:
    policy = exported_policy(kind)
    settings = policy.settings or ProverSettings()
    before = files_of(policy)
    copy = policy_of(policy.model, policy.vocabulary, settings, name="copy")
    for weight in policy.model.state_dict().values():
        if weight.is_floating_point():
            weight.add_(1)

    for name, content in files_of(copy).items():
        assert content == before[name]
        (tmp_path / name).write_bytes(content)

    loaded = load_policy(tmp_path, default_dataset())
    assert (loaded.shape, loaded.content_hash) == (policy.shape, copy.content_hash)
    state = torch.zeros(2, 6, 3, dtype=torch.int64)  # a network fills up what a state lacks in places
    state[:, 0] = 1
    assert torch.equal(loaded.model(state[0], state), copy.model(state[0], state))


def test_weights_that_are_not_finite_are_refused() -> None:
    policy = exported_policy("two towers")
    next(iter(policy.model.state_dict().values())).view(-1)[0] = torch.nan
    with pytest.raises(PolicyError, match="holds values that are not finite"):
        policy_of(policy.model, policy.vocabulary, policy.settings or ProverSettings(), name="bad")
