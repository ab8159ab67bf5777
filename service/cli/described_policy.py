"""What ``proofrank check`` says of a policy folder, or of a checkpoint file that was not imported."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.core.policy.description import PolicyDescription, describe_policy
from proofrank.core.policy.importing import Inspection, inspect_checkpoint
from proofrank.service.cli.tables import listed


@dataclass(frozen=True)
class DescribedPolicy:
    """A policy in words.

    Attributes:
        lines: what is printed.
        fields: the same for a JSON file.
        problem: why it cannot be used with the dataset; None if it can.
    """

    lines: list[str]
    fields: dict[str, Any]
    problem: str | None


def describe(source: Path, dataset: Dataset) -> DescribedPolicy:
    """Reads a policy folder or a checkpoint file and describes it.

    Raises:
        PolicyError: it cannot be read.
    """
    if source.is_file():
        return _describe_file(source, inspect_checkpoint(source, dataset), dataset)
    # An untrained policy embeds the names of the dataset, and needs it.
    policy = load_policy(source) if source.is_dir() else load_policy(source, dataset)
    return _describe_folder(policy, describe_policy(policy, source, dataset), dataset)


def _describe_folder(policy: Policy, what: PolicyDescription, dataset: Dataset) -> DescribedPolicy:
    problem = what.misfit
    if problem is None and what.num_variables_needed > what.num_variables:
        problem = (
            f"policy {policy.name!r} embeds {what.num_variables} variables; a trajectory of dataset "
            f"{dataset.name!r} may need {what.num_variables_needed}"
        )
    network = what.network
    fits = "fits" if problem is None else "does not fit"
    if "atom_embedder" not in network:
        shape = [f"  network of its own: {listed(network)}", f"  parameters: {what.num_parameters:,}"]
    else:
        shape = _built_in_lines(network, what)
    lines = [
        f"policy {policy.name} ({policy.content_hash[:12]}) {fits}",
        *shape,
        f"  vocabulary: {what.num_predicates} predicates, {what.num_constants} constants, {what.num_variables} "
        f"variables, of which {what.num_variables_needed} may be needed here",
        f"  prover: {listed(what.prover)}",
    ]
    if what.unused_predicates:
        lines.append(f"  predicates that no graph has: {', '.join(what.unused_predicates)}")
    if what.imported is not None:
        lines.append(f"  imported from {what.imported.get('file')} (SHA-256 {what.imported.get('sha256')})")
        for key, said in (("from_file", "from the file"), ("told", "told"), ("defaults", "defaults taken")):
            facts = what.imported.get(key)
            if isinstance(facts, dict):
                lines.append(f"    {said}: {listed(facts)}")
    if problem is not None:
        lines.append(f"  {problem}")
    fields = {"name": policy.name, "sha256": policy.content_hash, **dataclasses.asdict(what)}
    return DescribedPolicy(lines, fields, problem)


def _built_in_lines(network: dict[str, Any], what: PolicyDescription) -> list[str]:
    """Returns lines on a network of the built-in architecture."""
    heads = f" with {network['attention_heads']} heads" if network["atom_embedder"] == "attention" else ""
    return [
        f"  network: atom embedder {network['atom_embedder']}{heads}, state pooling {network['state_pooling']} over "
        f"{network['padding_atoms']} places or more; embeddings of {network['embedding_dim']} numbers, a body of "
        f"{network['num_layers']} blocks of {network['hidden_dim']}",
        f"  logits: {listed({name: network[name] for name in ('l2_norm', 'sqrt_scale', 'temperature')})}",
        f"  parameters: {what.num_parameters:,}, {what.num_embedding_parameters:,} of them in embeddings",
    ]


def _describe_file(source: Path, what: Inspection, dataset: Dataset) -> DescribedPolicy:
    file = what.file
    with source.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    form = "a Stable-Baselines3 archive" if file.generation == "old" else "a state dict"
    num_parameters = sum(tensor.numel() for tensor in file.tensors.values())
    lines = [
        f"{source.name} ({sha256[:12]}): {form} of the public DeepProofLog code, {file.generation} generation, "
        f"{file.num_tensors} tensors in {file.num_storages} storages; not imported",
        f"  parameters: {num_parameters:,}, without {file.num_left_out} tensors that no logit depends on",
        f"  the file tells: {listed(what.from_file)}",
        *(f"  must be told: {name}, {expected}" for name, expected in what.missing.items()),
        f"  taken unless told: {listed(what.defaults)}",
    ]
    if what.names is not None:
        names = what.names
        lines.append(
            f"  vocabulary: its tables fit {dataset.name}: {names.vocabulary.num_predicates} predicates, "
            f"{names.vocabulary.num_constants} constants, {names.num_variables} variables"
        )
        if names.unused_predicates:
            lines.append(f"  predicates that no graph has: {', '.join(names.unused_predicates)}")
    else:
        lines.append(f"  {what.misfit}")
    lines.append("  import it with: proofrank import FILE --dataset DIR --out DIR, and what must be told")
    fields = {
        "file": source.name,
        "sha256": sha256,
        "generation": file.generation,
        "num_parameters": num_parameters,
        "from_file": what.from_file,
        "missing": what.missing,
        "defaults": what.defaults,
        "misfit": what.misfit,
    }
    return DescribedPolicy(lines, fields, what.misfit)
