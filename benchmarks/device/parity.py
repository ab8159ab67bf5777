"""Stage ``parity``: in float32, every mode agrees with the original and with the recordings of another evaluator.

Tables ``original`` (a sample, proved by the original here) and ``recordings`` (each run freely and along the recorded
actions). The run fails if a row does not agree, or if the fastest mode was not compared for any reason. In a free run,
a difference after a near tie, which the recording's rounding decided, is excused as defined by
``proofrank.core.evaluator.replay``; along the recorded actions none is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.common import Workload
from benchmarks.device import original
from benchmarks.device.agreement import Agreement
from benchmarks.device.bench import Bench
from benchmarks.device.modes import Contestant, contestants
from benchmarks.device.record import AGREES, LEFT_OUT, LeftOut, Record, Row
from proofrank.core.evaluator import CompiledEvaluator, ReferenceEvaluator
from proofrank.core.evaluator.recordings import read_recording
from proofrank.core.evaluator.replay import replay
from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.prover import Outcome

_IN_EVERY_MODE = ("family-seed0", "countries_s3-seed0")
"""Recordings that every mode replays; only the fastest mode and eager replay the others, which need a
compilation each.
"""


_QUICK_QUERIES = 4
"""Number of recorded queries that a quick run replays."""


class NotComparedError(Exception):
    """The results could not be compared."""


def measure(bench: Bench, record: Record) -> None:
    """Adds both tables.

    Raises:
        NotComparedError: a required row has no result.
    """
    try:
        workload = bench.workload("family", bench.sizes.sample_queries, bench.sizes.workloads[0][1])
    except LeftOut as reason:
        raise NotComparedError(str(reason)) from reason
    wanted, _ = original.prove(workload)
    folders = sorted(path for path in bench.shared.glob("truth/*") if (path / "config.json").is_file())
    if not folders:
        record.add("recordings", {LEFT_OUT: f"{bench.shared / 'truth'} has no recordings"})
    rows: list[Row] = []
    # Required rows come first, because there may be no time for the others.
    for contestant in contestants(bench.automatic_mode):
        labels: Row = {"dataset": workload.dataset.name, "mode": contestant.name}
        against = partial(_against_original, bench, contestant, workload, wanted)
        rows.append(record.measure("original", labels, against))
        rows += [
            _replayed(bench, record, contestant, folder)
            for folder in folders
            if folder.name in _IN_EVERY_MODE
        ]
    for folder in folders:
        for contestant in contestants(bench.automatic_mode):
            if folder.name not in _IN_EVERY_MODE and contestant.compile_mode in (
                "eager",
                bench.automatic_mode,
            ):
                _replayed(bench, record, contestant, folder)
    _check_compared(bench, rows)


def _replayed(bench: Bench, record: Record, contestant: Contestant, folder: Path) -> Row:
    """Adds a row of a recording and returns it."""
    labels: Row = {"recording": folder.name, "mode": contestant.name}
    return record.measure("recordings", labels, partial(_against_recording, bench, contestant, folder))


def _check_compared(bench: Bench, rows: Sequence[Row]) -> None:
    """Raises NotComparedError if the fastest mode has no result against the original or a recording of its list."""
    compared = {row.get("recording") for row in rows if row["mode"] == bench.automatic_mode and AGREES in row}
    # A quick run also works without recordings; None stands for the original.
    required = (None,) if bench.sizes.is_quick else (None, *_IN_EVERY_MODE)
    missing = [name or "the original" for name in required if name not in compared]
    if missing:
        raise NotComparedError(
            f"mode {bench.automatic_mode!r} was not compared with {', '.join(missing)}; the rows say why"
        )


def _against_original(
    bench: Bench, contestant: Contestant, workload: Workload, wanted: Sequence[Outcome]
) -> Row:
    with bench.evaluator(
        workload,
        bench.sizes.parity_lanes,
        compile_mode=contestant.compile_mode,
        fullgraph=contestant.fullgraph,
    ) as ready:
        outcomes = ready.evaluator.evaluate(workload.candidates)
    return {
        "ready s": ready.ready_seconds,
        "candidates": len(outcomes),
        **Agreement.of(workload, outcomes, wanted).exact_row(),
    }


def _against_recording(bench: Bench, contestant: Contestant, folder: Path) -> Row:
    bench.check_mode(contestant.compile_mode)
    recording = read_recording(folder)
    if bench.sizes.is_quick:
        if recording.dataset != "countries_s3":
            raise LeftOut("a quick run replays the countries alone")
        recording = replace(recording, queries=recording.queries[:_QUICK_QUERIES])
    path = bench.shared / "data" / recording.dataset
    if not path.is_dir():
        raise LeftOut(f"{path} is missing")
    dataset = load_dataset(path)
    workload = Workload(dataset, load_policy(folder, dataset), recording.settings, [])
    reference = ReferenceEvaluator(dataset, workload.policy, recording.settings)
    with bench.evaluator(
        workload,
        bench.sizes.parity_lanes,
        compile_mode=contestant.compile_mode,
        fullgraph=contestant.fullgraph,
    ) as ready:
        evaluator: CompiledEvaluator = ready.evaluator
        freely = replay(recording, dataset, evaluator, reference)
        following = replay(recording, dataset, evaluator, reference, is_following=True)
    different = [comparison for comparison in freely if comparison.difference and not comparison.is_excused]
    different += [comparison for comparison in following if comparison.difference]
    first = {"first difference": different[0].difference} if different else {}
    return {
        "candidates": len(freely),
        "excused": sum(comparison.is_excused for comparison in freely),
        "differing": len(different),
        AGREES: not different,
        **first,
    }
