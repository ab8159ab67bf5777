"""Reads recorded evaluations: folders of candidates with the outcomes that another evaluator gave them.

A folder holds ``config.json`` (dataset, split, prover settings), the policy's three files, and
``candidates.jsonl``: a line per query and side, the positive first. ``docs/semantics.md`` has the fields.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofrank.core.errors import DatasetError, EvaluationError
from proofrank.core.formats.text import Line, read_lines
from proofrank.core.prover import FAILURE_PENALTY, ProverSettings

Names = tuple[str, str, str]
"""An atom by its names: (predicate, first, second)."""


@dataclass(frozen=True)
class RecordedStep:
    """One step of a recorded trace: states as tuples of names, terminal ones as ``(("True",),)`` and so on."""

    state: tuple[tuple[str, ...], ...]
    num_actions: int
    chosen: tuple[tuple[str, ...], ...]
    log_probability: float


@dataclass(frozen=True)
class RecordedCandidate:
    """A candidate and its recorded outcome.

    Attributes:
        names: (predicate, first, second).
        is_positive: whether it is the positive of its query.
        success: whether it was proved, by the record.
        log_probability: before the penalty.
        actions: index of the action taken at each step.
        is_near_tie: whether the trajectory passes a near tie that the recording settled by rounding.
        is_success_recorded: whether ``success`` can be relied on.
        trace: the steps, where they were recorded.
    """

    names: Names
    is_positive: bool
    success: bool
    log_probability: float
    steps: int
    actions: tuple[int, ...]
    is_near_tie: bool
    is_success_recorded: bool
    trace: tuple[RecordedStep, ...] | None

    @property
    def score(self) -> float:
        """The recorded score: log-probability, less the penalty where the proof failed."""
        return self.log_probability - (0.0 if self.success else FAILURE_PENALTY)


@dataclass(frozen=True)
class RecordedQuery:
    """A query on one side, with its recorded ranks where there are any.

    Attributes:
        names: (predicate, first, second) of the positive.
        side: which of its constants the candidates replace.
        random_rank: the rank under :func:`proofrank.core.ranking.rank_as_deepprooflog`.
        candidates: the positive first.
        recorded_rank: the rank that the evaluator gave, whatever it does with ties.
    """

    names: Names
    side: str
    random_rank: int | None
    candidates: tuple[RecordedCandidate, ...]
    recorded_rank: float | None = None


@dataclass(frozen=True)
class Recording:
    """A recorded evaluation.

    Attributes:
        folder: where it was read from; the policy lies there too.
        dataset: name of the dataset's folder.
        settings: of the prover.
        queries: in the order of the file.
        metrics: as recorded; empty where there are none.
    """

    folder: Path
    dataset: str
    settings: ProverSettings
    queries: tuple[RecordedQuery, ...]
    metrics: dict[str, Any]

    @property
    def candidates(self) -> list[RecordedCandidate]:
        """All candidates, in the order of the file."""
        return [candidate for query in self.queries for candidate in query.candidates]


def read_recording(folder: Path | str) -> Recording:
    """Reads the recording in ``folder``.

    Raises:
        DatasetError: a file is missing or bad; names path and, in ``candidates.jsonl``, the line.
    """
    folder = Path(folder)
    config = _read_json(folder / "config.json")
    known = [field.name for field in dataclasses.fields(ProverSettings)]
    try:
        settings = ProverSettings.from_dict({name: config[name] for name in known if name in config})
    except EvaluationError as error:
        raise DatasetError(f"{folder / 'config.json'}: {error}") from error
    if not isinstance(config.get("dataset"), str):
        raise DatasetError(
            f"{folder / 'config.json'}: 'dataset' is {config.get('dataset')!r}; expected a name"
        )
    metrics_path = folder / "metrics.json"
    return Recording(
        folder=folder,
        dataset=config["dataset"],
        settings=settings,
        queries=tuple(_parse_query(line) for line in read_lines(folder / "candidates.jsonl")),
        metrics=_read_json(metrics_path) if metrics_path.is_file() else {},
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read: {error.strerror}; expected the folder of a recorded evaluation, with "
            "config.json and candidates.jsonl"
        ) from error
    except ValueError as error:
        raise DatasetError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DatasetError(f"{path}: expected a JSON object")
    return value


def _parse_query(line: Line) -> RecordedQuery:
    try:
        fields = json.loads(line.text)
        return RecordedQuery(
            names=_atom(fields["query"]),
            side=str(fields["side"]),
            random_rank=fields.get("rank_random_seed0"),
            candidates=tuple(
                _parse_candidate(candidate, is_positive=index == 0)
                for index, candidate in enumerate(fields["candidates"])
            ),
            recorded_rank=fields.get("rank_recorded", fields.get("rank_random_seed0")),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise line.error(
            f"bad record ({type(error).__name__}: {error})", "a query with candidates"
        ) from error


def _parse_candidate(fields: dict[str, Any], *, is_positive: bool) -> RecordedCandidate:
    trace = fields.get("trace")
    return RecordedCandidate(
        names=_atom(fields["candidate"]),
        is_positive=is_positive,
        success=bool(fields["success"]),
        log_probability=float(fields["logp"]),
        steps=int(fields["steps"]),
        actions=tuple(fields["actions"] or ()),
        is_near_tie=bool(fields.get("near_tie", False)),
        is_success_recorded=bool(fields.get("success_recorded", True)),
        trace=None if trace is None else tuple(_parse_step(step) for step in trace),
    )


def _parse_step(fields: dict[str, Any]) -> RecordedStep:
    return RecordedStep(
        state=_parse_state(fields["state"]),
        num_actions=int(fields["n_actions"]),
        chosen=_parse_state(fields["chosen"]),
        log_probability=float(fields["logp"]),
    )


def _parse_state(atoms: list[list[str] | None]) -> tuple[tuple[str, ...], ...]:
    """The atoms of a state, without the empty places that some evaluators leave between them."""
    return tuple(tuple(atom) for atom in atoms if atom is not None)


def _atom(names: list[str]) -> Names:
    predicate, first, second = names
    return (str(predicate), str(first), str(second))
