"""Reads a rule file by its format, which is told by the form of its lines or given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proofrank.core.errors import DatasetError, did_you_mean, nearest_names
from proofrank.core.formats.rules.clauses import read_arrows, read_prolog
from proofrank.core.formats.rules.detection import (
    RULE_FORMATS,
    RULE_FORMS,
    detect_rule_format,
    format_of_line,
)
from proofrank.core.formats.rules.learned import (
    RelationIds,
    read_amie,
    read_anyburl,
    read_ncrl,
    read_neural_lp,
    read_rnnlogic,
)
from proofrank.core.formats.rules.named import NamedRule, RuleReading
from proofrank.core.formats.text import Line, content_lines, other_comment, read_lines
from proofrank.core.formats.warnings import DatasetWarning

_CLAUSES = frozenset({"prolog", "problog"})

WRITTEN_FORMATS = frozenset({"proofrank", "prolog", "problog"})
"""Formats that people write; the others are those of programs that learn rules."""

_READERS = {
    "proofrank": read_arrows,
    "prolog": read_prolog,
    "problog": read_prolog,
    "anyburl": read_anyburl,
    "amie": read_amie,
    "neural-lp": read_neural_lp,
    "ncrl": read_ncrl,
}


@dataclass(frozen=True)
class RuleFile:
    """The rules of one file.

    Attributes:
        path: the file.
        format: one of ``RULE_FORMATS``.
        rules: in the order of the file, those without a body included.
        warnings: what is probably wrong.
        notes: what was taken in a way that a reader of the log should know.
    """

    path: Path
    format: str
    rules: tuple[NamedRule, ...]
    warnings: tuple[DatasetWarning, ...]
    notes: tuple[str, ...]

    @property
    def is_learned(self) -> bool:
        """Whether the format is that of a program that learns rules."""
        return self.format not in WRITTEN_FORMATS


def check_rule_format(name: str | None) -> None:
    """Raises DatasetError where ``name`` is no format; None is one that is told by the file."""
    if name is not None and name not in RULE_FORMATS:
        near = did_you_mean(nearest_names(name, RULE_FORMATS))
        raise DatasetError(f"rules format {name!r}{near}; expected one of {', '.join(RULE_FORMATS)}")


def read_rule_file(path: Path, known_predicates: frozenset[str], rules_format: str | None = None) -> RuleFile:
    """Reads the rules of ``path`` in order.

    Args:
        path: the file; that of relation ids is looked for beside it.
        known_predicates: the predicates of the triples.
        rules_format: one of ``RULE_FORMATS``; told by the form of the lines where it is None.

    Raises:
        DatasetError: a line is no rule of the file's format (names path, line number, line and what was expected), or
            there is no rule.
    """
    check_rule_format(rules_format)
    all_lines = list(content_lines(path))
    lines = _without_comments(all_lines, known_predicates)
    form = rules_format or detect_rule_format(lines)
    if form is None:
        for line in lines:
            raise line.error(f"no rule{other_comment(line.text)}", RULE_FORMS)
        raise DatasetError(f"{path}: no rule in this file; expected at least one, {RULE_FORMS}")
    reading = RuleReading(known_predicates)
    try:
        # Only clauses may have comments elsewhere than at the beginning of a line.
        rules = tuple(_read(form, all_lines if form in _CLAUSES else lines, path, reading))
    except DatasetError as error:
        raise _with_format(error, form, lines, is_given=rules_format is not None) from error
    if not rules:
        raise DatasetError(f"{path}: no rule in this file; expected at least one, {RULE_FORMATS[form]!r}")
    return RuleFile(path, form, rules, reading.warnings.warnings, tuple(reading.notes))


def _without_comments(lines: list[Line], known_predicates: frozenset[str]) -> list[Line]:
    """The lines that do not begin with ``%``, and those that begin with the name of a relation that does."""
    names = tuple(name for name in known_predicates if name.startswith("%"))
    return [line for line in lines if not line.text.startswith("%") or line.text.startswith(names)]


def _read(form: str, lines: list[Line], path: Path, reading: RuleReading) -> Iterator[NamedRule]:
    if form == "rnnlogic":
        return read_rnnlogic(lines, _relation_ids(path, lines[0]), reading) if lines else iter(())
    return _READERS[form](lines, reading)


def _relation_ids(rules: Path, first: Line) -> RelationIds:
    paths = (rules.with_name(name + end) for name in RelationIds.FILES for end in ("", ".gz"))
    for path in paths:
        if path.is_file():
            return RelationIds.of(read_lines(path), path)
    raise first.error(
        "ids of relations, and no file that says which",
        f"{' or '.join(RelationIds.FILES)} beside {rules.name}, with lines 'id<TAB>relation'",
    )


def _with_format(error: DatasetError, form: str, lines: list[Line], is_given: bool) -> DatasetError:
    """The error, with the reason for which the file was read as it was, where other lines have another form."""
    if is_given:
        return DatasetError(f"{error} (read as {form}, the format that was asked for)")
    forms = {other for line in lines[:1000] if (other := format_of_line(line.text[:1000])) is not None}
    if len(forms - {form}) == 0 or forms <= {"prolog", "problog"}:
        return error
    return DatasetError(f"{error} (read as {form}, the format of most lines; a file has one format)")
