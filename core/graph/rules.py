"""Settles what the rules of a file mean in a graph, and turns them into index form.

A name between quotes is a constant. In formats that tell variables by their form (those of programs that learn rules),
every other name is a constant too. In rules that people write, variables may be in either case: every argument that is
no constant of the graph and has the form of a name is a variable. ``_`` is a new variable each time. The order of the
file is kept, for it is the order of the actions.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from proofrank.core.errors import DatasetError, counted, did_you_mean, first_few, nearest_names
from proofrank.core.formats.atoms import NamedAtom
from proofrank.core.formats.rules import NamedRule, RuleFile
from proofrank.core.formats.warnings import DatasetWarning, WarningCollector
from proofrank.core.graph.vocabulary import Vocabulary

IndexedAtom = tuple[int, int, int]

_INVERSES = (
    re.compile(r"inv(?:erse)?[_:]?(?P<name>.+)", re.IGNORECASE | re.DOTALL),
    re.compile(r"(?P<name>.+?)(?:_inv|_inverse|_reverse|\^-1|⁻¹)", re.IGNORECASE | re.DOTALL),
)
"""How names of inverse relations are made."""

_VARIABLE = re.compile(r"[?$]?[^\W\d]\w*'*")
"""A name that can be a variable in rules that people write: numbers, terms, lists and names with blanks cannot."""

_LIKE_A_VARIABLE = re.compile(r"[A-Z]\d{0,2}|[a-z]|_.*")
_LIKE_PROLOGS_VARIABLE = re.compile(r"[A-Z_?$].*|[^\W\d]\d{0,2}", re.DOTALL)


@dataclass(frozen=True)
class Rule:
    """A rule by indices.

    Attributes:
        name: its name in the file, or ``rule<line>``.
        weight: its weight or confidence in the file; 1 where it has none. It is shown in proofs; the prover does not
            use it.
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

    def describe(self) -> str:
        """``rule NAME``, with its weight where that is not 1."""
        return f"rule {self.name}" if self.weight == 1 else f"rule {self.name}, weight {self.weight:g}"


@dataclass(frozen=True)
class SettledRules:
    """The rules of a file as they stand in a graph.

    Attributes:
        rules: those that are kept, in the order of the file.
        warnings: what is probably wrong in them.
        notes: what was taken in a way that a reader of the log should know.
    """

    rules: tuple[NamedRule, ...]
    warnings: tuple[DatasetWarning, ...]
    notes: tuple[str, ...]


def settle_rules(file: RuleFile, predicates: Collection[str], constants: Collection[str]) -> SettledRules:
    """Decides what each name of the rules is, and drops rules that repeat another or can never succeed.

    Args:
        file: the rules.
        predicates: those that occur in a triple.
        constants: those that occur in a triple.

    Raises:
        DatasetError: a body's predicate has neither a triple nor a rule, so that the rule can never succeed.
    """
    warnings = WarningCollector()
    rules, inverse = _with_known_relations(file, predicates, constants)
    _check_predicates(rules, predicates, constants, warnings)
    kept: list[NamedRule] = []
    first_of: dict[object, NamedRule] = {}
    for rule in rules:
        if not rule.body:
            _warn("rule-without-body", rule, f"{rule.name}: {rule.line.shown()!r}", warnings)
            continue
        is_variable = _variables_of(rule, constants)
        unknown = [name for name in _arguments(rule) if not is_variable(name) and name not in constants]
        if unknown:
            _warn_of_constant(rule, unknown[0], constants, warnings)
            continue
        meaning = _meaning(rule, is_variable)
        first = first_of.setdefault(meaning, rule)
        if first is not rule:
            is_same = first.weight == rule.weight
            kind = "duplicate-rule" if is_same else "repeated-rule"
            _warn(kind, rule, f"{rule.name}, as {first.name} in line {first.line.number}", warnings)
            if is_same:
                continue
        kept.append(rule)
        _warn_of_names(rule, file, constants, warnings)
    if not kept:
        reasons = "; ".join(map(str, warnings.warnings))
        raise DatasetError(f"{file.path}: no rule that can succeed; expected at least one ({reasons})")
    _warn_of_other_letters(rules, file, constants, warnings)
    notes = [*file.notes]
    if inverse:
        shown = ", ".join(f"{name} is the inverse of {known}" for name, known in list(inverse.items())[:3])
        relations = counted(len(inverse), "inverse relation")
        notes.append(f"{relations}, whose arguments change places: {shown}")
    return SettledRules(tuple(kept), warnings.warnings, tuple(notes))


def _warn(kind: str, rule: NamedRule, text: str, warnings: WarningCollector) -> None:
    warnings.add(kind, rule.line.path, rule.line.number, text)


def _arguments(rule: NamedRule) -> Iterable[str]:
    return (name for atom in rule.atoms for name in atom[1:])


# Relations


def _with_known_relations(
    file: RuleFile, predicates: Collection[str], constants: Collection[str]
) -> tuple[list[NamedRule], dict[str, str]]:
    """The rules with the names of the graph, and the inverse relations among theirs -> the relation of each."""
    # A file that people write may have rules for a relation of such a name.
    own = set() if file.is_learned else {rule.head.predicate for rule in file.rules}
    inverse: dict[str, str] = {}

    def relation(atom: NamedAtom) -> NamedAtom:
        if atom.predicate in predicates or atom.predicate in own:
            return atom
        known = _inverse_of(atom.predicate, predicates)
        if known is None:
            return atom
        inverse[atom.predicate] = known
        return NamedAtom(known, atom.second, atom.first)

    def without_brackets(name: str, known: Collection[str]) -> str:
        is_bracketed = name not in known and name.startswith("<") and name.endswith(">") and len(name) > 2
        return name[1:-1] if is_bracketed else name

    def settle(atom: NamedAtom) -> NamedAtom:
        if file.format == "amie":
            first, second = (without_brackets(name, constants) for name in atom[1:])
            atom = NamedAtom(without_brackets(atom.predicate, predicates), first, second)
        return relation(atom)

    rules = [
        dataclasses.replace(rule, head=settle(rule.head), body=tuple(map(settle, rule.body)))
        for rule in file.rules
    ]
    return rules, inverse


def _inverse_of(name: str, predicates: Collection[str]) -> str | None:
    for form in _INVERSES:
        match = form.fullmatch(name)
        if match is not None and match["name"] in predicates:
            return match["name"]
    return None


def _check_predicates(
    rules: Sequence[NamedRule],
    with_triples: Collection[str],
    constants: Collection[str],
    warnings: WarningCollector,
) -> None:
    """Warns of each predicate that has rules but no triples: its atoms can only be proved by rules.

    Raises:
        DatasetError: a body's predicate has neither a triple nor a rule, so that the rule can never succeed.
    """
    with_rules = {rule.head.predicate for rule in rules}
    in_bodies = {atom.predicate for rule in rules for atom in rule.body}
    told: set[str] = set()
    for rule in rules:
        for predicate in (atom.predicate for atom in rule.atoms):
            if predicate in with_triples or predicate in told:
                continue
            if predicate not in with_rules:
                near = did_you_mean(nearest_names(predicate, {*with_triples, *with_rules}))
                some = first_few(sorted(with_triples), _MOST_NAMES, repr)
                raise rule.line.error(
                    f"unknown predicate {predicate!r}{near}{_swapped(predicate, constants)}",
                    f"a predicate of a triple ({some}), or the head of a rule",
                )
            prefix, colon, name = predicate.rpartition(":")
            if colon and name in with_triples and predicate not in in_bodies:
                raise rule.line.error(
                    f"{prefix + colon!r} before a head",
                    "a rule with a name in the form 'name:weight:body -> head'",
                )
            told.add(predicate)
            near = did_you_mean(nearest_names(predicate, with_triples, most=1))
            text = f"{predicate!r}{near}{_swapped(predicate, constants)}"
            _warn("predicate-without-triples", rule, text, warnings)


def _swapped(predicate: str, constants: Collection[str]) -> str:
    """What a message says of a predicate without triples that is a constant."""
    if predicate not in constants:
        return ""
    return " (a constant of the triples: perhaps their columns are not in the order head, relation, tail)"


_MOST_NAMES = 3
"""Number of names that a message lists."""


# Constants and variables


def _variables_of(rule: NamedRule, constants: Collection[str]) -> Callable[[str], bool]:
    """Tells of a name of the rule whether it is a variable."""
    variables = rule.variables
    if variables is not None:
        return lambda name: name in variables
    return lambda name: (
        name == "_"
        or (name not in constants and name not in rule.quoted and _VARIABLE.fullmatch(name) is not None)
    )


def _meaning(rule: NamedRule, is_variable: Callable[[str], bool]) -> object:
    """The rule with numbers for its variables: equal for rules that differ in letters only."""
    numbers: dict[str, int] = {}

    def argument(name: str) -> str | int:
        if not is_variable(name):
            return name
        if name == "_":
            name = f"_{len(numbers)} anonymous"
        return numbers.setdefault(name, len(numbers))

    return tuple((atom.predicate, argument(atom.first), argument(atom.second)) for atom in rule.atoms)


def _warn_of_constant(
    rule: NamedRule, name: str, constants: Collection[str], warnings: WarningCollector
) -> None:
    kind = "unknown-constant"
    near = (
        did_you_mean(nearest_names(name, constants, most=1))
        if warnings.is_shown(kind, rule.line.path)
        else ""
    )
    _warn(kind, rule, f"{rule.name}: {name!r}{near}", warnings)


def _warn_of_names(
    rule: NamedRule, file: RuleFile, constants: Collection[str], warnings: WarningCollector
) -> None:
    """Warns of names that are probably meant otherwise."""
    uses = Counter(_arguments(rule))
    is_variable = _variables_of(rule, constants)
    for name, number in uses.items():
        if is_variable(name):
            if number == 1 and not name.startswith("_") and _joins_all(file.format):
                _warn_of_singleton(rule, name, uses, constants, warnings)
            is_plain = rule.variables is None and not name.startswith("_")
            if (
                is_plain
                and file.format in ("prolog", "problog")
                and not _LIKE_PROLOGS_VARIABLE.fullmatch(name)
            ):
                _warn("variable-like-constant", rule, f"{rule.name}: {name!r}", warnings)
        elif rule.variables is None and name not in rule.quoted and _looks_like_a_variable(name, number):
            _warn("constant-like-variable", rule, f"{rule.name}: {name!r}", warnings)
    if file.format == "anyburl" and rule.variables is not None:
        for name in sorted(name for name in rule.variables if name in constants):
            _warn("variable-named-like-constant", rule, f"{rule.name}: {name!r}", warnings)


_SHORTEST_WORD = 3
"""Minimum length of a variable whose name is compared with constants: ``x`` and ``V1`` are names of variables."""


def _warn_of_other_letters(
    rules: Iterable[NamedRule], file: RuleFile, constants: Collection[str], warnings: WarningCollector
) -> None:
    """Warns of variables of written rules that are constants but for capital letters, such as ``Germany``.

    One that occurs once in its rule is told as a singleton.
    """
    if file.is_learned:
        return
    words = [
        (rule, name)
        for rule in rules
        for name, number in Counter(_arguments(rule)).items()
        if number > 1 and len(name) >= _SHORTEST_WORD and _variables_of(rule, constants)(name)
    ]
    if not words:
        return
    wanted = {name.casefold() for _, name in words}
    found = {folded: name for name in sorted(constants) if (folded := name.casefold()) in wanted}
    for rule, name in words:
        constant = found.get(name.casefold())
        if constant is not None:
            text = f"{rule.name}: {name!r}, and {constant!r} is a constant"
            _warn("variable-named-like-constant", rule, text, warnings)


def _joins_all(rules_format: str) -> bool:
    """Whether a variable that occurs once is odd; AnyBURL and AMIE write rules with a free one on purpose."""
    return rules_format not in ("anyburl", "amie")


def _looks_like_a_variable(name: str, number: int) -> bool:
    """Whether a constant is named like a variable, or stands where one joins two atoms."""
    return _LIKE_A_VARIABLE.fullmatch(name) is not None or (
        number > 1 and _LIKE_PROLOGS_VARIABLE.fullmatch(name) is not None
    )


def _warn_of_singleton(
    rule: NamedRule, name: str, uses: Counter[str], constants: Collection[str], warnings: WarningCollector
) -> None:
    text = f"{rule.name}: {name!r}"
    if warnings.is_shown("singleton", rule.line.path):
        variables = [other for other in uses if other != name and other not in constants]
        near_constants = nearest_names(name, constants, most=1)
        near_variables = nearest_names(name, variables, most=1)
        if near_constants:
            text += f", nearest constant {near_constants[0]!r}"
        if near_variables:
            text += f", nearest variable {near_variables[0]!r}"
        if not near_constants:
            text += ", no constant is near"
    _warn("singleton", rule, text, warnings)


def index_rule(rule: NamedRule, vocabulary: Vocabulary) -> Rule:
    """The rule by indices; its constants must be in ``vocabulary``."""
    variables: dict[str, int] = {}
    explicit = rule.variables

    def argument(name: str) -> int:
        if name == "_" and explicit is None:
            name = f"_{len(variables)} anonymous"  # with a space: no other name is so
        elif (
            name not in explicit
            if explicit is not None
            else name in rule.quoted or vocabulary.has_constant(name)
        ):
            return vocabulary.constant_index(name)
        return variables.setdefault(name, -1 - len(variables))

    def atom(named: NamedAtom) -> IndexedAtom:
        predicate = vocabulary.predicate_index(named.predicate)
        return (predicate, argument(named.first), argument(named.second))

    head = atom(rule.head)
    num_head_variables = len(variables)
    body = tuple(atom(named) for named in rule.body)
    return Rule(rule.name, rule.weight, head, body, len(variables) - num_head_variables)
