"""What a policy is, in figures and words: for reports to people and programs."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofrank.core.choices import untrained_seed
from proofrank.core.errors import PolicyError
from proofrank.core.graph import Dataset
from proofrank.core.policy.checkpoint import Policy
from proofrank.core.policy.files import policy_paths
from proofrank.core.policy.network import PolicyNetwork
from proofrank.core.prover import ProverSettings
from proofrank.core.prover.growth import most_variables


@dataclass(frozen=True)
class PolicyDescription:
    """What a policy is.

    Attributes:
        network: sizes and formulas, by the names of :class:`proofrank.core.policy.PolicyConfig`, or of the config of
            an exported network.
        prover: settings that it was trained with, by name.
        num_parameters: number of weights.
        num_embedding_parameters: those among them that are embeddings of predicates, constants and variables; 0 for an
            exported network, which does not say.
        num_predicates: predicates with an embedding, without ``True``, ``False`` and ``Endf``.
        num_constants: constants with an embedding.
        num_variables: run-time variables with an embedding.
        num_variables_needed: run-time variables that a trajectory on the dataset may need at most.
        unused_predicates: predicates of the checkpoint that no graph has.
        imported: where an imported checkpoint comes from and which facts it was imported with; None for others.
        misfit: how its vocabulary differs from that of the dataset; None if they are the same.
    """

    network: dict[str, Any]
    prover: dict[str, Any]
    num_parameters: int
    num_embedding_parameters: int
    num_predicates: int
    num_constants: int
    num_variables: int
    num_variables_needed: int
    unused_predicates: tuple[str, ...]
    imported: dict[str, Any] | None
    misfit: str | None


def describe_policy(policy: Policy, source: Path, dataset: Dataset) -> PolicyDescription:
    """Describes ``policy``, which was loaded from ``source``, beside the dataset that it is meant for."""
    settings = policy.settings if policy.settings is not None else ProverSettings()
    network = policy.network
    # A network of somebody's own has no tables that are known as such.
    tables: set[int] = set()
    if isinstance(network, PolicyNetwork):
        tables = {id(network.embedding.predicates), id(network.embedding.arguments)}
    parameters = [*network.parameters(), *network.buffers()]
    notes, unused = _notes(source)
    try:
        policy.check_fits(dataset)
        misfit = None
    except PolicyError as error:
        misfit = str(error)
    return PolicyDescription(
        network=dataclasses.asdict(policy.network.config),
        prover=dataclasses.asdict(settings),
        num_parameters=sum(parameter.numel() for parameter in parameters),
        num_embedding_parameters=sum(
            parameter.numel() for parameter in parameters if id(parameter) in tables
        ),
        num_predicates=policy.vocabulary.num_predicates,
        num_constants=policy.vocabulary.num_constants,
        num_variables=policy.network.config.max_variables,
        num_variables_needed=most_variables(dataset, settings, settings.max_resolutions_per_step),
        unused_predicates=unused,
        imported=notes,
        misfit=misfit,
    )


def _notes(source: Path) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """Returns what the files of a policy that was loaded say of its import, and the unused predicates."""
    if untrained_seed(source) is not None:
        return None, ()
    paths = policy_paths(source)
    training = json.loads(paths.config.read_bytes()).get("training")
    imported = training.get("imported") if isinstance(training, dict) else None
    unused = json.loads(paths.vocabulary.read_bytes()).get("unused_predicates", [])
    return imported if isinstance(imported, dict) else None, tuple(unused)
