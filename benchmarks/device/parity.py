"""Stage ``parity``: in float32, every mode gives what the original and the recordings of another evaluator say.

Tables ``original`` (a sample, proved by the original here) and ``recordings`` (each run freely and along the recorded
actions). A row ``agrees`` or the run fails. A difference behind a near tie, which a recording settled by rounding, is
excused when run freely, as ``core.evaluator.replay`` defines it; along its actions none is.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.common import Workload
from benchmarks.device import original
from benchmarks.device.agreement import Agreement
from benchmarks.device.bench import Bench
from benchmarks.device.modes import Contestant, contestants
from benchmarks.device.record import AGREES, LeftOut, Record, Row
from core.evaluator import CompiledEvaluator, OriginalEvaluator
from core.evaluator.recordings import read_recording
from core.evaluator.replay import replay
from core.graph import load_dataset
from core.policy import load_policy
from core.prover import Outcome

_IN_EVERY_MODE = ("family-seed0", "countries_s3-seed0")
"""Recordings that every mode replays; the others, whose graphs ask for a compilation each, the fastest and eager do."""


_QUICK_QUERIES = 4
"""Recorded queries that a quick run replays."""


def measure(bench: Bench, record: Record) -> None:
    """Adds both tables."""
    workload = bench.workload("family", bench.sizes.sample_queries, bench.sizes.workloads[0][1])
    wanted, _ = original.prove(workload)
    for contestant in contestants(bench.fastest_mode):
        labels = {"dataset": workload.dataset.name, "mode": contestant.name}
        record.measure("original", labels, partial(_against_original, bench, contestant, workload, wanted))
    folders = sorted(path for path in bench.shared.glob("truth/*") if (path / "config.json").is_file())
    if not folders:
        record.add("recordings", {"left out": f"{bench.shared / 'truth'} has no recordings"})
    folders.sort(key=lambda path: path.name not in _IN_EVERY_MODE)
    for folder in folders:
        for contestant in contestants(bench.fastest_mode):
            is_for_all = folder.name in _IN_EVERY_MODE
            if is_for_all or contestant.compile_mode in ("eager", bench.fastest_mode):
                labels = {"recording": folder.name, "mode": contestant.name}
                record.measure("recordings", labels, partial(_against_recording, bench, contestant, folder))


def _against_original(bench: Bench, contestant: Contestant, workload: Workload, wanted: list[Outcome]) -> Row:
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
    reference = OriginalEvaluator(dataset, workload.policy, recording.settings)
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
