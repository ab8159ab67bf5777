"""Readers of rules that people write: ``name:weight:body -> head``, and the clauses of Prolog and ProbLog."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from proofrank.core.formats.atoms import ReadAtom, check_not_negated, read_atom
from proofrank.core.formats.prolog import Clause, read_clauses
from proofrank.core.formats.quoting import mask, split_outer
from proofrank.core.formats.rules.named import NamedRule, RuleReading, is_number, read_number
from proofrank.core.formats.text import NUMBER, Line, other_comment

ARROW_FORM = "'name:weight:body -> head'"
CLAUSE_FORM = "'head :- body.' or 'weight::head :- body.'"

_PREFIX = re.compile(r"([^:(]*):([^:(]*):")
_PROBLOG_WEIGHT = re.compile(r"([^:('\"]*(?:\([^()]*\))?)\s*::")
_NOT_A_NAME = re.compile(rf"(?:[^:]*:)?{NUMBER}:+")
_TEMPLATE = re.compile(r"(?:#\s*\d+|\d+)\s+\S+\s*\(")
"""How NTP begins the templates from which it makes rules."""

_COMMENT_BEHIND = re.compile(r"(?<=\))\s*\.?\s*(?:%.*)?$")


def read_arrows(lines: Iterable[Line], reading: RuleReading) -> Iterator[NamedRule]:
    """Rules ``name:weight:body -> head``; name and weight are there only where the second field is a number.

    Raises:
        DatasetError: a line is no such rule.
    """
    for line in lines:
        name, weight, text = _name_and_weight(line, reading.known_predicates)
        arrow = mask(text).rfind("->")
        if arrow < 0:
            raise line.error(f"no rule{other_comment(text)}", f"{ARROW_FORM}, the form of this file")
        body, head = text[:arrow], _COMMENT_BEHIND.sub("", text[arrow + 2 :])
        if not body.strip():
            raise line.error("a rule without a body", f"{ARROW_FORM}; facts belong into the train file")
        yield _rule(name, weight, head, body, line, reading)


def _name_and_weight(line: Line, known_predicates: frozenset[str]) -> tuple[str, float, str]:
    """Name, weight and the rest of the line."""
    name, text = f"rule{line.number}", line.text
    prefix = _PREFIX.match(text)
    if prefix is None or _predicate(text) in known_predicates:
        return name, 1.0, text
    rest = text[prefix.end() :]
    if not is_number(prefix[2]) and _predicate(rest) not in known_predicates:
        return name, 1.0, text
    weight = read_number(prefix[2], line, "weight", ARROW_FORM)
    return prefix[1].strip() or name, weight, rest


def read_prolog(lines: Iterable[Line], reading: RuleReading) -> Iterator[NamedRule]:
    """Clauses ``head :- body.``, with the weights of ProbLog where there are any.

    Raises:
        DatasetError: a clause is no rule.
    """
    for clause in read_clauses(lines):
        weight, text = _weight(clause, reading.known_predicates)
        if text.startswith((":-", "?-")):
            reading.warnings.add("directive", clause.line.path, clause.line.number, repr(clause.line.shown()))
            continue
        neck = mask(text).find(":-")
        if neck < 0:
            raise clause.line.error("no rule", f"{CLAUSE_FORM}; facts belong into the train file")
        head, body = text[:neck].strip(), text[neck + 2 :]
        if not body.strip():
            raise clause.line.error(
                "a rule without a body", f"{CLAUSE_FORM}; facts belong into the train file"
            )
        if _TEMPLATE.match(head):
            raise clause.line.error(
                f"a rule template at {head!r}",
                f"{CLAUSE_FORM}; templates with '#' or a number of copies are not rules",
            )
        if _predicate(head) not in reading.known_predicates and (comment := other_comment(head)):
            raise clause.line.error(f"no rule{comment}", CLAUSE_FORM)
        stray = _NOT_A_NAME.match(head)
        if stray is not None and _predicate(head) not in reading.known_predicates:
            raise clause.line.error(
                f"{stray[0]!r} before a head",
                f"{CLAUSE_FORM}; a rule with a name is written {ARROW_FORM}",
            )
        yield _rule(f"rule{clause.line.number}", weight, head, body, clause.line, reading)


def _weight(clause: Clause, known_predicates: frozenset[str]) -> tuple[float, str]:
    """ProbLog's weight, and the rest of the clause; a predicate may hold ``::`` as well."""
    prefix = _PROBLOG_WEIGHT.match(clause.text)
    if prefix is None:
        return 1.0, clause.text
    rest = clause.text[prefix.end() :].strip()
    is_name = _predicate(clause.text) in known_predicates or _predicate(rest) not in known_predicates
    if is_name and not is_number(prefix[1]):
        return 1.0, clause.text
    return read_number(prefix[1], clause.line, "weight", CLAUSE_FORM), rest


def _predicate(text: str) -> str:
    return text.partition("(")[0].strip()


def _rule(name: str, weight: float, head: str, body: str, line: Line, reading: RuleReading) -> NamedRule:
    atoms = [head, *split_outer(body)]
    for atom in atoms:
        if _predicate(atom) not in reading.known_predicates:
            check_not_negated(atom, line)
    read: list[ReadAtom] = [read_atom(atom, line) for atom in atoms]
    quoted = frozenset().union(*(atom.quoted for atom in read))
    return NamedRule(name, weight, read[0].atom, tuple(atom.atom for atom in read[1:]), line, quoted=quoted)
