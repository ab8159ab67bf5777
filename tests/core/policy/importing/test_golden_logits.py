"""Files of the public code, imported, give the logits of that code's own network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.policy.features import ROW_MULTIPLE, RowFeatures
from proofrank.core.policy.importing import import_checkpoint, read_facts
from proofrank.core.policy.probes import ProbeScorer, read_probes
from proofrank.core.prover.packing import pack
from tests.helpers.public_checkpoints import NAMES, checkpoint_file


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest, shared_checkpoints: Path) -> Path:
    """Each folder of the shared checkpoints."""
    return shared_checkpoints / request.param


def test_an_imported_file_gives_the_logits_of_its_own_network(
    folder: Path, shared_data: Path, tmp_path: Path
) -> None:
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    dataset = load_dataset(shared_data / facts["dataset"])
    names = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))

    import_checkpoint(checkpoint_file(folder), dataset, read_facts(folder / "facts.json")).save(tmp_path)
    policy = load_policy(tmp_path, with_unused_predicates=True)

    assert [*policy.vocabulary.predicates, "True", "False", "Endf"] == names["predicates"]
    assert list(policy.vocabulary.constants) == names["constants"]
    assert policy.vocabulary.first_variable_index == names["variables"]["first_index"]
    assert policy.network.config.max_variables == names["variables"]["count"]
    probes = list(read_probes(folder / "probes.jsonl", policy))
    assert len(probes) == 40
    # In float64 what is left is the rounding of their logits, which the facts state; engines round as much again.
    spread = facts["probes"]["largest_difference_to_float64"]
    exact, single = ProbeScorer(policy), ProbeScorer(policy, torch.float32)
    assert max(exact(probe).difference or 0.0 for probe in probes) <= 1.01 * spread
    assert max(single(probe).difference or 0.0 for probe in probes) <= 2.5 * spread


def test_a_file_of_the_usual_sizes_is_imported(
    shared_checkpoints: Path, shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_checkpoints / "default-shapes-countries_s3"
    shapes = json.loads((folder / "tensors.json").read_text(encoding="utf-8"))["tensors"]
    state: dict[str, torch.Tensor] = {}
    for name, (shape, _) in shapes.items():
        shared = name.removeprefix("pi_").removeprefix("vf_").replace("value_body", "shared_body")
        state[name] = state[shared] if shared in state else torch.zeros(shape)
    torch.save(state, tmp_path / "checkpoint.pt")

    dataset, facts = load_dataset(shared_data / "countries_s3"), read_facts(folder / "facts.json")
    policy = import_checkpoint(tmp_path / "checkpoint.pt", dataset, facts)

    config = policy.network.config
    assert (config.embedding_dim, config.hidden_dim, config.num_layers) == (250, 512, 8)


def test_the_vectorised_network_gives_the_same_logits(
    folder: Path, shared_data: Path, tmp_path: Path
) -> None:
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    dataset = load_dataset(shared_data / facts["dataset"])
    import_checkpoint(checkpoint_file(folder), dataset, read_facts(folder / "facts.json")).save(tmp_path)
    policy = load_policy(tmp_path, dataset)
    features = RowFeatures(policy.network)
    width = 6

    for probe in read_probes(folder / "probes.jsonl", policy):
        states = torch.zeros(-(-(1 + len(probe.actions)) // ROW_MULTIPLE) * ROW_MULTIPLE, width, 3).long()
        for row, state in enumerate((probe.state, *probe.actions)):
            states[row, : len(state)] = torch.tensor(state)
        vectors = features(pack(*states.unbind(-1)))
        logits = vectors[1 : 1 + len(probe.actions)] @ vectors[0] * features.logit_scale
        assert probe.logits is not None
        assert logits.tolist() == pytest.approx(list(probe.logits), rel=1e-5, abs=2e-5)
