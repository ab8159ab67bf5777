"""Readers of rules that programs learn: AnyBURL, AMIE, Neural LP, NCRL and RNNLogic.

Their confidences are the rules' weights. In these formats variables have a form of their own, so that a name that is no
variable is a constant whether the graph has it or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from proofrank.core.errors import counted
from proofrank.core.formats.atoms import NamedAtom, parse_atom
from proofrank.core.formats.quoting import mask, split_outer
from proofrank.core.formats.rules.detection import RULE_FORMATS, format_of_line
from proofrank.core.formats.rules.named import NamedRule, RuleReading, is_number, read_number
from proofrank.core.formats.text import NUMBER, Line

_ANYBURL_VARIABLE = re.compile(r"[A-Z]")
_ANYBURL_ITSELF = "me_myself_i"
"""Stands in AnyBURL's rules for the other argument of the same atom."""

_AMIE_CONFIDENCES = ("PCA Confidence", "Std Confidence")
"""Columns of which the first that is there is the weight."""

_AMIE_VARIABLE = re.compile(r"\?\w+")
_AMIE_DATALOG = re.compile(r"(?:\S+\([^\s,()]+,[^\s,]+\)\s*)+")
"""Atoms as AMIE writes them with its option ``-datalog``."""

_AMIE_COLUMNS = ("Rule", "Head Coverage", "Std Confidence", "PCA Confidence")
_WEIGHTS = re.compile(r"\s*(?P<weight>[-+.\deE]+)\s*(?:\([^()]*\))?\s+(?P<rule>(?!<--)\S.*)", re.DOTALL)
_COLUMNS_WITH_BLANKS = re.compile(rf"{NUMBER}\s+\S")


def read_anyburl(lines: Iterable[Line], reading: RuleReading) -> Iterator[NamedRule]:
    """Rules ``head <= body`` behind columns of numbers, of which the last is the confidence; a capital letter is a
    variable.

    Raises:
        DatasetError: a line is no such rule.
    """
    form = repr(RULE_FORMATS["anyburl"])
    for line in lines:
        *numbers, text = line.text.strip().split("\t")
        weight = 1.0
        for number in numbers:
            weight = read_number(number, line, "column", form)
        arrow = mask(text).find("<=")
        if arrow < 0:
            raise line.error("no rule", f"{form}, the form of this file")
        if _COLUMNS_WITH_BLANKS.match(text) and text.partition("(")[0] not in reading.known_predicates:
            raise line.error("columns without tabs", form)
        body = text[arrow + 2 :].strip()
        head, *others = [text[:arrow], *(split_outer(body) if body else ())]
        atoms = [_anyburl_atom(atom, line, reading.known_predicates) for atom in (head, *others)]
        yield _learned(line, weight, atoms, _ANYBURL_VARIABLE)


def _anyburl_atom(text: str, line: Line, known_predicates: frozenset[str]) -> NamedAtom:
    """An atom whose names stand as they are: quotes are letters, a comma may belong to a constant, and a parenthesis to
    a constant or to a relation of the graph."""
    text = text.strip()
    opening = text.find("(")
    for place in (match.start() for match in re.finditer(r"\(", text)):
        if text[:place] in known_predicates:
            opening = place
            break
    if opening <= 0 or not text.endswith(")"):
        raise line.error(f"no atom at {text!r}", "relation(first,second)")
    first, comma, second = text[opening + 1 : -1].partition(",")
    if "," in second and _ANYBURL_VARIABLE.fullmatch(first.strip()) is None:
        first, comma, second = text[opening + 1 : -1].rpartition(",")
    first, second = first.strip(), second.strip()
    if not comma or not first or not second:
        raise line.error(f"no atom at {text!r}", "relation(first,second)")
    if _ANYBURL_ITSELF in (first, second):
        first = second = second if first == _ANYBURL_ITSELF else first
    return NamedAtom(text[:opening].strip(), first, second)


def read_amie(lines: Iterable[Line], reading: RuleReading) -> Iterator[NamedRule]:
    """Rules ``body   => head`` before columns of numbers; the weight is the PCA confidence. ``?a`` is a variable.

    Lines that AMIE prints before and behind the rules are left out and noted.

    Raises:
        DatasetError: a line looks like a rule and is none.
    """
    columns: Sequence[str] = _AMIE_COLUMNS
    num_messages = 0
    for line in lines:
        text, *numbers = line.text.strip().split("\t")
        if "=>" not in text:
            if text.strip() == "Rule":
                columns = [text.strip(), *(cell.strip() for cell in numbers)]
                if not set(_AMIE_CONFIDENCES) & set(columns):
                    reading.notes.append(f"no column {' or '.join(_AMIE_CONFIDENCES)}, so every weight is 1")
            elif "?" in text or format_of_line(text) is not None:
                raise line.error("no rule", f"{RULE_FORMATS['amie']!r}, the form of this file")
            else:
                num_messages += 1
            continue
        body, _, head = text.rpartition("=>")
        atoms = [*_amie_atoms(head, line), *_amie_atoms(body, line)]
        odd = [
            name
            for atom in atoms
            for name in atom[1:]
            if name[0] == "?" and not _AMIE_VARIABLE.fullmatch(name)
        ]
        if odd:
            raise line.error(
                f"no variable at {odd[0]!r}", f"{RULE_FORMATS['amie']!r}, with tabs before numbers"
            )
        yield _learned(line, _amie_weight(columns, numbers, line), atoms, _AMIE_VARIABLE)
    if num_messages:
        reading.notes.append(f"{counted(num_messages, 'line')} of AMIE's messages left out")


def _amie_atoms(text: str, line: Line) -> list[NamedAtom]:
    if "!=" in text:
        raise line.error(f"a constraint, '!=', at {text.strip()!r}", "atoms alone: '?a  relation  ?b'")
    if _AMIE_DATALOG.fullmatch(text.strip()):
        atoms = re.split(r"(?<=\))\s+", text.strip())
        return [_anyburl_atom(atom, line, frozenset()) for atom in atoms]
    separator = r"\s{2,}" if "  " in text.strip() else r"\s+"
    names = [name for name in re.split(separator, text.strip()) if name]
    if len(names) % 3:
        raise line.error(
            f"{counted(len(names), 'name')} at {text.strip()!r}", "three for each atom: '?a  relation  ?b'"
        )
    return [
        NamedAtom(relation, first, second)
        for first, relation, second in zip(names[::3], names[1::3], names[2::3], strict=True)
    ]


def _amie_weight(columns: Sequence[str], cells: Sequence[str], line: Line) -> float:
    for name in _AMIE_CONFIDENCES:
        place = columns.index(name) - 1 if name in columns else len(cells)
        if place < len(cells):
            return read_number(cells[place].replace(",", "."), line, name, RULE_FORMATS["amie"])
    return 1.0


def read_neural_lp(lines: Iterable[Line], reading: RuleReading) -> Iterator[NamedRule]:
    """Rules ``head <-- body`` behind a weight and, in parentheses, the same divided by the largest one.

    Raises:
        DatasetError: a line is no such rule.
    """
    for line in lines:
        weight, head, body = _parted(line, "neural-lp")
        atoms = [parse_atom(head, line), *(parse_atom(atom, line) for atom in split_outer(body) if body)]
        if atoms[-1].predicate == "equal" and "equal" not in reading.known_predicates:
            atoms = atoms[:1]  # Neural LP's way to write an empty body
        yield _learned(line, weight, atoms, re.compile(r".+"))


def read_ncrl(lines: Iterable[Line], reading: RuleReading) -> Iterator[NamedRule]:
    """Rules ``relation <-- relation, relation``: a chain from the head's first argument to its second.

    Raises:
        DatasetError: a line is no such rule.
    """
    for line in lines:
        weight, head, body = _parted(line, "ncrl")
        relations = [relation.strip() for relation in body.split(",")] if body else []
        if not head or "" in relations or "(" in body:
            raise line.error("an empty name" if "(" not in body else "no rule", repr(RULE_FORMATS["ncrl"]))
        yield chain(line, weight, head, relations)


def _parted(line: Line, form: str) -> tuple[float, str, str]:
    """Weight, head and body of ``weight (number)<TAB>head <-- body``."""
    text, weight = line.text.strip(), 1.0
    weighted = _WEIGHTS.match(text)
    if weighted is not None and is_number(weighted["weight"]):
        weight = read_number(weighted["weight"], line, "weight", RULE_FORMATS[form])
        text = weighted["rule"]
    head, arrow, body = text.partition("<--")
    if not arrow:
        raise line.error("no rule", f"{RULE_FORMATS[form]!r}, the form of this file")
    if "\t" in head:
        raise line.error(f"{head.partition(chr(9))[0]!r} is no weight", repr(RULE_FORMATS[form]))
    return weight, head.strip(), body.strip()


def read_rnnlogic(lines: Iterable[Line], relations: RelationIds, reading: RuleReading) -> Iterator[NamedRule]:
    """Rules of ids, the head's first; a last number with a decimal point is the weight.

    Raises:
        DatasetError: a line is no such rule, or has an id that no relation has.
    """
    with_weight, without = 0, list[Line]()
    for line in lines:
        ids, weight = line.text.split(), 1.0
        if ids[-1].isdecimal():
            without.append(line)
        else:
            weight = read_number(ids.pop(), line, "weight", RULE_FORMATS["rnnlogic"])
            with_weight += 1
        names = [relations.name(text, line) for text in ids]
        if not names:
            raise line.error("no rule", RULE_FORMATS["rnnlogic"])
        yield chain(line, weight, names[0], names[1:])
    if with_weight:
        for line in without:
            reading.warnings.add("missing-weight", line.path, line.number, repr(line.shown()))


INVERSE = "inv_"
"""Stands before the name of a relation whose arguments change places."""


class RelationIds:
    """The relations of RNNLogic's ids, from ``relations.dict``; from its last id on, those of the inverse relations."""

    FILES = ("relations.dict", "relation2id.txt")

    def __init__(self, names: dict[int, str], path: Path) -> None:
        self._names = names
        self._path = path
        self._number = max(names) + 1

    @classmethod
    def of(cls, lines: Iterable[Line], path: Path) -> RelationIds:
        """Reads ``id<TAB>name`` or ``name<TAB>id``. Raises DatasetError, with the line that is wrong."""
        names: dict[int, str] = {}
        expected = "'id<TAB>name', or 'name<TAB>id' in relation2id.txt"
        for line in lines:
            first, tab, second = line.text.strip().partition("\t")
            if not tab:
                first, tab, second = line.text.strip().rpartition(" ")
            first, second = first.strip(), second.strip()
            if not first and _is_id(second) and not names:
                continue  # the number of relations, at the top of relation2id.txt
            if not first or (
                _is_id(second) and (not path.name.startswith(cls.FILES[0]) or not _is_id(first))
            ):
                first, second = second, first
            if not _is_id(first) or not second or int(first) in names:
                raise line.error("no id and relation", f"{expected}, each id once")
            names[int(first)] = second
        if not names:
            raise Line(path, 1, "").error("no relation", expected)
        return cls(names, path)

    def name(self, text: str, line: Line) -> str:
        """The relation of an id, with ``INVERSE`` before it where it is an inverse one. Raises DatasetError."""
        number = int(text) if _is_id(text) else -1
        if number in self._names:
            return self._names[number]
        if number - self._number in self._names:
            return INVERSE + self._names[number - self._number]
        raise line.error(
            f"no relation has the id {text!r}",
            f"ids of {self._path}: 0 to {self._number - 1}, and {self._number} to {2 * self._number - 1} for inverses",
        )


def _is_id(text: str) -> bool:
    return text.isdecimal() and len(text) < 10


def chain(line: Line, weight: float, head: str, relations: Sequence[str]) -> NamedRule:
    """The rule ``head(X,Y) :- r1(X,Z1), r2(Z1,Z2), …, rn(Zm,Y)``."""
    names = ["X", *(f"Z{number}" for number in range(1, len(relations))), "Y"]
    atoms = [
        NamedAtom(head, "X", "Y"),
        *(NamedAtom(relation, *names[place : place + 2]) for place, relation in enumerate(relations)),
    ]
    return _learned(line, weight, atoms, re.compile(r".+"))


def _learned(line: Line, weight: float, atoms: Sequence[NamedAtom], variable: re.Pattern[str]) -> NamedRule:
    arguments = {name for atom in atoms for name in atom[1:]}
    variables = frozenset(name for name in arguments if variable.fullmatch(name))
    return NamedRule(f"rule{line.number}", weight, atoms[0], tuple(atoms[1:]), line, variables)
