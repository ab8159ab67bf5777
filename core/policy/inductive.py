"""A policy on another graph with the same relations: possible where no constant has an embedding of its own.

The built-in network embeds each constant by a row of a table. If all rows are one vector, the network cannot tell
constants apart: it knows relations, rules and variables alone. The same vector then stands for every constant of
another graph. Rows of their own say nothing of constants that training has not seen. Of a network of one's own, its
operations show whether it tells constants apart (:mod:`proofrank.core.policy.exported.inductive`).
"""

from __future__ import annotations

import torch

from proofrank.core.errors import PolicyError, counted
from proofrank.core.graph import Dataset, Vocabulary
from proofrank.core.policy.checkpoint import Policy, build_network
from proofrank.core.policy.exported import ExportedNetwork
from proofrank.core.policy.exported.checkpoint import check_rows
from proofrank.core.policy.exported.inductive import with_other_constants
from proofrank.core.policy.network import PolicyNetwork


def carried_over(policy: Policy, dataset: Dataset) -> Policy:
    """Returns ``policy`` for the constants of another graph; itself if they are its own. Its name and hash stay.

    Args:
        policy: policy that fits the graph it was trained on.
        dataset: other graph, with the same relations.

    Raises:
        PolicyError: the graph has other relations, or the policy embeds constants by vectors of their own, or tells
            constants apart otherwise.
    """
    names = policy.vocabulary
    where = f"policy {policy.name!r} cannot be carried over to dataset {dataset.name!r}"
    if dataset.vocabulary.predicates != names.predicates:
        differing = sorted(set(dataset.vocabulary.predicates) ^ set(names.predicates))
        raise PolicyError(
            f"{where}: it has other relations, such as {differing[0]!r}; expected the same ones"
        )
    if dataset.vocabulary.constants == names.constants:
        return policy
    others = dataset.vocabulary
    return Policy(
        policy.name,
        _with_constants(policy.model, names, others, where)
        if isinstance(policy.model, PolicyNetwork)
        else _exported_with_constants(policy.model, names, others, where),
        Vocabulary(names.predicates, dataset.vocabulary.constants),
        policy.settings,
        policy.content_hash,
        policy.hybrid,
    )


def _exported_with_constants(
    network: ExportedNetwork, names: Vocabulary, others: Vocabulary, where: str
) -> ExportedNetwork:
    """The network for the constants of ``others``, whose operations must not tell constants apart."""
    try:
        carried = with_other_constants(network, names.num_constants, others.num_constants)
        check_rows(carried, others)
    except PolicyError as error:
        raise PolicyError(f"{where}: {error}; export it for the other graph") from error
    return carried


def _with_constants(
    network: PolicyNetwork, names: Vocabulary, others: Vocabulary, where: str
) -> PolicyNetwork:
    """The network with the one vector of its constants for each of ``others``."""
    weights = network.state_dict()
    table = weights["embedding.arguments"]
    constants = table[1 : 1 + names.num_constants]
    num_different = len(torch.unique(constants, dim=0))
    if num_different != 1:
        raise PolicyError(
            f"{where}: it embeds {counted(names.num_constants, 'constant')} by {num_different} different vectors, "
            "and there is none for constants of another graph; expected one vector for all constants, or a policy "
            "that was trained on that graph"
        )
    other_rows = constants[:1].expand(others.num_constants, -1)
    weights["embedding.arguments"] = torch.cat([table[:1], other_rows, table[1 + names.num_constants :]])
    carried = build_network(network.config, others)
    carried.load_state_dict(weights)
    return carried
