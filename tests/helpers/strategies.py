"""Hypothesis strategies: names, terms, atoms, and small graphs with rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from hypothesis import strategies as st

Value = TypeVar("Value")

NUM_CONSTANTS = 3
CONSTANTS = (1, 2, 3)
RUNTIME_VARIABLES = (4, 5)
RULE_VARIABLES = (-1, -2)

names = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufeff"), min_size=1, max_size=8
).filter(lambda name: name == name.strip())
"""Names as in real graphs: without control characters, and without white space around them."""


def atoms(*arguments: int) -> st.SearchStrategy[tuple[int, int, int]]:
    """Draws atoms of two predicates over ``arguments``."""
    return st.tuples(st.sampled_from((1, 2)), st.sampled_from(arguments), st.sampled_from(arguments))


goals = atoms(*CONSTANTS, *RUNTIME_VARIABLES)
heads = atoms(*CONSTANTS, *RULE_VARIABLES)


@dataclass(frozen=True)
class SmallGraph:
    """Facts and rules by names: constants ``a`` to ``d``, predicates ``p`` to ``r``, variables from ``X``.

    Attributes:
        facts: (predicate, first, second).
        rules: (head, body), with atoms as in facts.
        query: a ground atom of predicate ``p``.
    """

    facts: tuple[tuple[str, str, str], ...]
    rules: tuple[tuple[tuple[str, str, str], tuple[tuple[str, str, str], ...]], ...]
    query: tuple[str, str, str]

    def train_lines(self) -> list[str]:
        """Returns the facts as lines of a file."""
        return [write_atom(*fact) + "." for fact in self.facts]

    def rule_lines(self) -> list[str]:
        """Returns the rules as lines of a file."""
        return [
            f"r{number}:1:{', '.join(write_atom(*atom) for atom in body)} -> {write_atom(*head)}"
            for number, (head, body) in enumerate(self.rules)
        ]

    def query_line(self) -> str:
        """Returns the query as a line of a file."""
        return write_atom(*self.query) + "."

    def renamed(self, names_of: dict[str, str]) -> SmallGraph:
        """Returns the graph with names replaced; those not in ``names_of`` stay."""

        def rename(atom: tuple[str, str, str]) -> tuple[str, str, str]:
            predicate, first, second = (names_of.get(name, name) for name in atom)
            return (predicate, first, second)

        return SmallGraph(
            tuple(map(rename, self.facts)),
            tuple((rename(head), tuple(map(rename, body))) for head, body in self.rules),
            rename(self.query),
        )


GRAPH_CONSTANTS: tuple[str, ...] = ("a", "b", "c", "d")
GRAPH_PREDICATES: tuple[str, ...] = ("p", "q", "r")

_ground = st.tuples(
    st.sampled_from(GRAPH_PREDICATES), st.sampled_from(GRAPH_CONSTANTS), st.sampled_from(GRAPH_CONSTANTS)
)
# Mostly variables, because a rule with constants seldom matches.
_arguments = st.sampled_from(("X", "Y", "Z", "X", "Y", "Z", "a"))
_with_variables = st.tuples(st.sampled_from(GRAPH_PREDICATES), _arguments, _arguments)
_rules = st.tuples(_with_variables, st.lists(_with_variables, min_size=1, max_size=3).map(tuple))

# Every name occurs, so that every predicate is known and all graphs have the same vocabulary.
_anchors = (("p", "a", "b"), ("q", "b", "c"), ("r", "c", "d"))

small_graphs = st.builds(
    lambda facts, rules, query: SmallGraph((*_anchors, *facts), rules, query),
    facts=st.lists(_ground, max_size=8, unique=True).map(tuple),
    rules=st.lists(_rules, min_size=1, max_size=4).map(tuple),
    query=st.tuples(st.just("p"), st.sampled_from(GRAPH_CONSTANTS), st.sampled_from(GRAPH_CONSTANTS)),
)


def write_atom(predicate: str, first: str, second: str) -> str:
    """Writes the atom as in a file, with quotes around names that need them."""
    return f"{predicate}({quote(first)},{quote(second)})"


def quote(name: str) -> str:
    """Writes ``name`` as an argument, in single quotes if it would otherwise be read differently."""
    is_plain = not any(character in name for character in ",()'\"")
    return name if is_plain else "'" + name.replace("\\", "\\\\").replace("'", "''") + "'"
