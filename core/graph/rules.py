"""Reads rules and turns them into index form.

Two forms: ``name:weight:body -> head`` (name and weight may be left out) and the Prolog clause
``head :- body.``. Variables may be in either case: in a rule every argument that is not a known constant is a
variable, and ``_`` is a new one each time. The order of the file is kept, for it is the order of the actions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.errors import DatasetError, did_you_mean, nearest_names
from proofrank.core.formats.atoms import NamedAtom, parse_atom, split_commas
from proofrank.core.formats.text import Line, read_lines
from proofrank.core.graph.vocabulary import Vocabulary

RULE_FORMS = "'name:weight:body -> head' or 'head :- body.'"

_PREFIX = re.compile(r"([^:(]*):([^:(]*):")

IndexedAtom = tuple[int, int, int]


@dataclass(frozen=True)
class NamedRule:
    """A rule by its names, as it stands in a file."""

    name: str
    weight: float
    head: NamedAtom
    body: tuple[NamedAtom, ...]
    line: Line

    def __str__(self) -> str:
        return f"{self.head} :- {', '.join(map(str, self.body))}"


@dataclass(frozen=True)
class Rule:
    """A rule by indices.

    Attributes:
        name: its name in the file, or ``rule<line>``.
        weight: its weight in the file; 1 where it has none. The prover does not use it.
        head: (predicate, first, second); a variable is a negative number, ``-1`` the first to appear in head,
            then body.
        body: the atoms to prove instead, in order.
        num_fresh_variables: how many variables occur in the body alone.
    """

    name: str
    weight: float
    head: IndexedAtom
    body: tuple[IndexedAtom, ...]
    num_fresh_variables: int


def read_rules(path: Path) -> tuple[NamedRule, ...]:
    """Reads the rules of ``path`` in order.

    Raises:
        DatasetError: a line is no rule (names path, line number, line and what was expected), or there is none.
    """
    rules = tuple(_parse_rule(line) for line in read_lines(path))
    if not rules:
        raise DatasetError(f"{path}: no rule in this file; expected at least one, {RULE_FORMS}")
    return rules


def _parse_rule(line: Line) -> NamedRule:
    name, weight, text = f"rule{line.number}", 1.0, line.text
    if ":-" in text:
        head, _, body = text.partition(":-")
        body = body.rstrip()
        body = body.removesuffix(".")
    elif "->" in text:
        prefix = _PREFIX.match(text)
        if prefix is not None:
            name = prefix[1].strip() or name
            weight = _parse_weight(prefix[2], line)
            text = text[prefix.end() :]
        body, _, head = text.rpartition("->")
    else:
        raise line.error("no rule", RULE_FORMS)
    if not body.strip():
        raise line.error("a rule without a body", f"{RULE_FORMS}; facts belong into the train file")
    return NamedRule(
        name=name,
        weight=weight,
        head=parse_atom(head, line),
        body=tuple(parse_atom(atom, line) for atom in split_commas(body)),
        line=line,
    )


def _parse_weight(text: str, line: Line) -> float:
    try:
        return float(text)
    except ValueError:
        raise line.error(f"weight {text!r} is no number", RULE_FORMS) from None


def check_predicates(rules: Iterable[NamedRule], known: Iterable[str]) -> list[str]:
    """Checks the rules' predicates against those that have triples.

    Args:
        rules: the rules to check.
        known: the predicates that occur in a triple.

    Returns:
        A warning for each predicate that has rules but no triples: its atoms can only be proved by rules.

    Raises:
        DatasetError: a body's predicate has neither a triple nor a rule, so that the rule can never succeed.
    """
    rules = tuple(rules)
    with_triples = set(known)
    with_rules = {rule.head.predicate for rule in rules}
    warnings: dict[str, str] = {}
    for rule in rules:
        for predicate in (rule.head.predicate, *(atom.predicate for atom in rule.body)):
            if predicate in with_triples or predicate in warnings:
                continue
            if predicate not in with_rules:
                near = did_you_mean(nearest_names(predicate, with_triples | with_rules))
                raise rule.line.error(
                    f"unknown predicate {predicate!r}{near}", "a predicate of a triple, or the head of a rule"
                )
            warnings[predicate] = (
                f"{rule.line.path}:{rule.line.number}: predicate {predicate!r} has rules but no triple"
            )
    return list(warnings.values())


def index_rule(rule: NamedRule, vocabulary: Vocabulary) -> Rule:
    """The rule by indices; arguments that are no constant of ``vocabulary`` become variables."""
    variables: dict[str, int] = {}

    def argument(name: str) -> int:
        if name == "_":
            name = f"_{len(variables)} anonymous"  # with a space: no other name is so
        elif vocabulary.has_constant(name):
            return vocabulary.constant_index(name)
        return variables.setdefault(name, -1 - len(variables))

    def atom(named: NamedAtom) -> IndexedAtom:
        predicate = vocabulary.predicate_index(named.predicate)
        return (predicate, argument(named.first), argument(named.second))

    head = atom(rule.head)
    num_head_variables = len(variables)
    body = tuple(atom(named) for named in rule.body)
    return Rule(rule.name, rule.weight, head, body, len(variables) - num_head_variables)
