"""Checkpoints of the public code, imported from the shared folder or made small by hand under its names."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, PolicyConfig, build_network, load_policy
from proofrank.core.policy.importing import import_checkpoint, read_facts

NAMES = (
    "attention-mean-countries_s3",
    "builder-countries_s3",
    "compiled-countries_s3",
    "parity-countries_s3",
    "rnn-mean-countries_s3",
    "sb3-countries_s3",
    "sum-sum-countries_s3",
    "train-countries_s3",
    "train-family",
    "train-umls",
    "transe-rnn-countries_s3",
    "transe-transformer-countries_s3",
    "transformer-mean-countries_s3",
)
"""Folders of the shared checkpoints."""


BODY, HEAD = "mlp_extractor.shared_body.", "mlp_extractor.policy_head_"


def checkpoint_file(folder: Path) -> Path:
    """The checkpoint in a folder of the shared ones."""
    return next(path for path in (folder / "checkpoint.pt", folder / "checkpoint.zip") if path.is_file())


def imported(folder: Path, dataset: Dataset, out: Path) -> Policy:
    """The policy of a folder of the shared ones, imported with its facts, written to ``out`` and loaded."""
    import_checkpoint(checkpoint_file(folder), dataset, read_facts(folder / "facts.json")).save(out)
    return load_policy(out, dataset)


def state_dict_of(
    dataset: Dataset, *, num_extra_predicates: int = 0, num_variables: int = 1000
) -> dict[str, Tensor]:
    """A state dict as ``train.create_components`` makes it for ``dataset``: transe, sizes 4 and 6, two blocks."""
    torch.manual_seed(0)
    config = PolicyConfig(embedding_dim=4, hidden_dim=6, num_layers=2, max_variables=num_variables)
    ours = build_network(config, dataset.vocabulary).state_dict()
    predicates = torch.randn(ours["embedding.predicates"].shape[0] + num_extra_predicates, 4)
    arguments = torch.randn(ours["embedding.arguments"].shape)
    predicates[0] = arguments[0] = 0.0
    state = {
        "features_extractor.embedder.predicate_embedder.embedder.weight": predicates,
        "features_extractor.embedder.constant_embedder.embedder.weight": arguments,
    }
    for kind in ("weight", "bias"):
        state[f"{BODY}input_transform.{kind}"] = ours[f"body_input.{kind}"]
        state[f"{BODY}input_transform.ln_{kind}"] = ours[f"body_norm.{kind}"]
        for block in range(2):
            state[f"{BODY}res_blocks.{block}.{kind}"] = ours[f"body_blocks.{block}.linear.{kind}"]
            state[f"{BODY}res_blocks.{block}.ln_{kind}"] = ours[f"body_blocks.{block}.norm.{kind}"]
        state[f"{HEAD}fused.{kind}"] = ours[f"head_hidden.{kind}"]
        state[f"{HEAD}final.{kind}"] = ours[f"head_output.{kind}"]
        state[f"mlp_extractor.value_head_final.{kind}"] = torch.randn(1)
    for name in list(state):
        if name.startswith("features_extractor."):
            state[f"pi_{name}"] = state[f"vf_{name}"] = state[name]
        if name.startswith(BODY):
            state[name.replace("shared_body", "value_body")] = state[name]
    state["action_net.weight"], state["action_net.bias"] = torch.randn(20, 1), torch.randn(20)
    return state
