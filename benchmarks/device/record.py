"""The figures: stages with tables of rows, written to a file after every row, so that an interruption loses little.

A part that cannot be measured leaves a row with the reason (``left out``), and one that fails a row with the error
(``error``); the others continue in both cases. Only :class:`LeftOut` counts as left out; any other exception is an
error.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]
"""Column -> text, number or truth value."""

LEFT_OUT = "left out"
ERROR = "error"
AGREES = "agrees"
"""Columns: why a part was not measured, how it failed, and whether the compared values are equal."""

_NO_TIME = "no time is left for it; --minutes gives more"


class LeftOut(Exception):
    """A part is not measured here; the text is the reason."""


class Deadline:
    """A time limit."""

    def __init__(self, seconds: float) -> None:
        """Begins a time limit of ``seconds``."""
        self._end = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """Returns the seconds until the end, negative after it."""
        return self._end - time.monotonic()


class Record:
    """The figures of one run; a stage begins, takes rows, and ends."""

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        """Makes a record that is kept in the JSON file ``path``, below ``header``."""
        self._path = path
        self._header = dict(header)
        self._stages: dict[str, dict[str, Any]] = {}
        self._stage: dict[str, Any] = {}
        self._deadline = Deadline(0)
        self.write()

    @property
    def stages(self) -> Mapping[str, Mapping[str, Any]]:
        """Stages by name: ``status`` (``done``, ``left out``, ``failed``), ``reason``, ``seconds`` and ``tables`` of
        rows.
        """
        return self._stages

    @property
    def seconds_left(self) -> float:
        """Seconds left for the current stage."""
        return self._deadline.seconds_left

    @property
    def has_failed(self) -> bool:
        """Whether a stage or a row has an error, or a row says that equal values were expected and differ."""
        rows = [row for stage in self._stages.values() for table in stage["tables"].values() for row in table]
        return any(stage["status"] == "failed" for stage in self._stages.values()) or any(
            ERROR in row or row.get(AGREES) is False for row in rows
        )

    def run_stage(self, name: str, measure: Callable[[], object], seconds: float) -> None:
        """Runs a stage; an exception becomes its reason.

        Args:
            name: name of the stage.
            measure: adds the rows.
            seconds: time after which no further row is begun.
        """
        self._deadline = Deadline(seconds)
        self._stage = self._stages[name] = {"status": "running", "reason": "", "seconds": 0.0, "tables": {}}
        began = time.monotonic()
        try:
            measure()
            self._stage["status"] = "done"
        except LeftOut as reason:
            self._stage.update(status=LEFT_OUT, reason=str(reason))
        except Exception as error:  # a failed stage must not stop the others
            traceback.print_exc()
            self._stage.update(status="failed", reason=text_of(error))
        self._stage["seconds"] = time.monotonic() - began
        self.write()

    def add(self, table: str, row: Row) -> None:
        """Adds a row to a table of the current stage."""
        self._stage["tables"].setdefault(table, []).append(row)
        print("; ".join(f"{name} {_cell(value)}" for name, value in row.items()), file=sys.stderr, flush=True)
        self.write()

    def measure(self, table: str, labels: Row, measure: Callable[[], Row]) -> Row:
        """Adds a row of ``labels`` and the result of ``measure``, or the reason why there is none; returns the row."""
        row = {**labels, **self._measured(measure)}
        self.add(table, row)
        return row

    def _measured(self, measure: Callable[[], Row]) -> Row:
        if self.seconds_left <= 0:
            return {LEFT_OUT: _NO_TIME}
        try:
            return measure()
        except LeftOut as reason:
            return {LEFT_OUT: str(reason)}
        except Exception as error:  # a failed row must not stop the others
            traceback.print_exc()
            return {ERROR: text_of(error)}

    def write(self) -> None:
        """Replaces the file in one step."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**self._header, "stages": self._stages}, indent=1)
        beside = self._path.with_name(f".{self._path.name}")
        beside.write_text(text + "\n")
        os.replace(beside, self._path)  # noqa: PTH105 - the atomic one


def markdown(header: Mapping[str, Any], stages: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the figures as a page of tables; a table has every column of any of its rows."""
    lines = [
        "# Measured on a device",
        "",
        *(f"- {name}: {_cell(value)}" for name, value in header.items()),
        "",
    ]
    for name, stage in stages.items():
        reason = f": {stage['reason']}" if stage["reason"] else ""
        lines += [f"## {name}", "", f"{stage['status']}{reason}, {stage['seconds']:.1f} s", ""]
        for title, rows in stage["tables"].items():
            columns = list(dict.fromkeys(column for row in rows for column in row))
            lines += [f"### {title}", "", f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
            lines += [f"| {' | '.join(_cell(row.get(column, '')) for column in columns)} |" for row in rows]
            lines.append("")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def text_of(error: Exception) -> str:
    """Returns the error in one line of a cell."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
