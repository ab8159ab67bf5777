"""Groups of predicates that depend on each other through rules, each after those that it depends on."""

from __future__ import annotations

import graphlib
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from proofrank.core.graph import Rule


def groups_of_predicates(rules: Sequence[Rule]) -> list[tuple[int, ...]]:
    """The predicates with rules, in groups: the strongly connected components of "the head depends on the body".

    Returns:
        The groups, each after all groups that its rules use.
    """
    heads = sorted({rule.head[0] for rule in rules})
    place_of = {predicate: place for place, predicate in enumerate(heads)}
    used = {
        (place_of[rule.head[0]], place_of[atom[0]])
        for rule in rules
        for atom in rule.body
        if atom[0] in place_of
    }
    edges = np.array(sorted(used), dtype=np.int64).reshape(-1, 2)
    graph = sparse.csr_array(
        (np.ones(len(edges), dtype=bool), (edges[:, 0], edges[:, 1])), shape=(len(heads), len(heads))
    )
    num_groups, group_of = connected_components(graph, directed=True, connection="strong")
    groups: list[list[int]] = [[] for _ in range(num_groups)]
    for predicate, group in zip(heads, group_of.tolist(), strict=True):
        groups[group].append(predicate)
    return [tuple(groups[index]) for index in _in_order(num_groups, edges, group_of)]


def _in_order(num_groups: int, edges: np.ndarray, group_of: np.ndarray) -> list[int]:
    """The groups, each after those that it uses."""
    uses: dict[int, set[int]] = {group: set() for group in range(num_groups)}
    for head, body in edges.tolist():
        if group_of[head] != group_of[body]:
            uses[int(group_of[head])].add(int(group_of[body]))
    return list(graphlib.TopologicalSorter(uses).static_order())
