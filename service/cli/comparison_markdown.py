"""A comparison as Markdown, for a pull request."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from proofrank.service.cli.comparison_rows import (
    CHANGES_HEADER,
    HEADER,
    LEGEND,
    Row,
    change_cells,
    evaluations,
    metric_rows,
    title,
    verdict,
)
from proofrank.service.wire import Comparison

_SPECIAL = re.compile(r"([\\`*_\[\]|~#])")
_SHORT = ("all", "side")
"""Sections of the table that are shown; the others unfold."""


def to_markdown(comparison: Comparison, num_changes: int) -> str:
    """The comparison as a heading, a sentence, tables, and the first ``num_changes`` rankings that changed."""
    rows = list(metric_rows(comparison))
    parts = [
        f"### {_text(title(comparison))}",
        f"**{_text(verdict(comparison))}**",
        "\n".join(f"- {_text(line)}" for line in evaluations(comparison)),
        _table(HEADER, [_cells(row) for row in rows if row.section in _SHORT]),
        _text(LEGEND),
    ]
    others = [_cells(row) for row in rows if row.section not in _SHORT]
    if others:
        parts.append(_unfolding("By relation and depth", _table(HEADER, others)))
    shown = comparison.changed[: max(0, num_changes)]
    if shown:
        summary = f"Changed ranks, the worst loss first: {len(shown)} of {len(comparison.changed)}"
        # In code, names such as @someone and #12 are no links.
        rows_of_changes = [
            (f"<code>{_text(name)}</code>", *cells) for name, *cells in map(change_cells, shown)
        ]
        parts.append(_unfolding(summary, _table(CHANGES_HEADER, rows_of_changes)))
    return "\n\n".join(parts) + "\n"


def _cells(row: Row) -> list[str]:
    return [_text(cell) for cell in row.cells]


def _unfolding(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(text: str) -> str:
    """``text`` so that nothing in it is taken for Markdown or HTML: names hold anything."""
    # Line breaks would end a row of a table.
    return _SPECIAL.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))
