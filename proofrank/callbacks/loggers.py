"""Loggers of metrics by step: what has a method ``log(step, metrics)`` is one."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from proofrank.core.errors import ProofrankError
from proofrank.core.metric_names import METRICS


class Logger(Protocol):
    """Takes the metrics of one step after another."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Takes the metrics of a step.

        Args:
            step: the step; larger with each call.
            metrics: name -> value; a metric that is undefined is not among them.
        """
        ...


class CsvLogger:
    """Writes a line for each step: the step, and each metric of ``METRICS``; an undefined one is empty.

    A file that is there already is continued, as a training that is resumed needs it.
    """

    def __init__(self, path: Path | str) -> None:
        """Writes the header, if the file is new or empty.

        Args:
            path: of the file; its folder is made if there is none.

        Raises:
            ProofrankError: the file has another header, or cannot be written.
        """
        self.path = Path(path)
        header = ["step", *METRICS]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+", newline="", encoding="utf-8") as file:
                file.seek(0)
                found = next(csv.reader(file), None)
                if found is None:
                    csv.writer(file).writerow(header)
        except OSError as error:
            raise ProofrankError(f"{self.path}: cannot be written: {error.strerror}") from error
        if found is not None and found != header:
            raise ProofrankError(f"{self.path}: begins with {found}; expected a new file, or {header}")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes the line of a step."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([step, *(metrics.get(name, "") for name in METRICS)])
