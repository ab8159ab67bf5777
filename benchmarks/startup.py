"""Time from the start of the process to ready, by stage: cold, again with the compiler's artifacts, and again without a
C++ compiler.

python -m benchmarks.startup
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import SHARED, machine, print_table, write_output
from proofrank.core.default import DATASET, POLICY

_PROGRAM = """
import json, sys, time
began = time.perf_counter()
import torch
from pathlib import Path
from proofrank.core.evaluator import create_evaluator, settings_for
from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy
imported = time.perf_counter()
dataset = load_dataset(sys.argv[1]); policy = load_policy(sys.argv[2], dataset)
loaded = time.perf_counter()
is_partial = sys.argv[3].endswith("-partial")
evaluator = create_evaluator(sys.argv[3].removesuffix("-partial"), dataset, policy, settings_for(policy),
                             fullgraph=not is_partial, buckets=(int(sys.argv[4]),), cache_folder=Path(sys.argv[5]))
built = time.perf_counter()
evaluator.warm_up()
warm = time.perf_counter()
print(json.dumps({"runs as": evaluator.engine, "import s": imported - began, "load s": loaded - imported,
                  "build s": built - loaded, "compile and warm up s": warm - built}))
"""


def main() -> int:
    """Runs each start in its own process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engines", nargs="+", default=["eager", "default", "default-partial"])
    parser.add_argument("--lanes", type=int, default=512)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures to FILE")
    parsed = parser.parse_args()
    workloads = {"countries (package)": (DATASET, POLICY)}
    if (SHARED / "truth" / "family-seed0").is_dir():
        workloads["family"] = (SHARED / "data" / "family", SHARED / "truth" / "family-seed0")
    rows = []
    for name, (dataset, policy) in workloads.items():
        for engine in parsed.engines:
            with tempfile.TemporaryDirectory() as cache:
                for start in ("cold", "again", "again, no C++ compiler"):
                    row = {"dataset": name, "engine": engine, "start": start}
                    rows.append({**row, **measure_start(dataset, policy, engine, parsed.lanes, cache, start)})
    print(machine())
    print_table(rows)
    write_output(parsed.json, {"rows": rows})
    return 0


def measure_start(
    dataset: Path, policy: Path, engine: str, lanes: int, cache: str, start: str, *, is_on_cpu: bool = False
) -> dict[str, Any]:
    """Returns the seconds of one start, in its own process.

    Args:
        dataset: dataset folder.
        policy: checkpoint folder.
        engine: name of the engine, followed by ``-partial`` if the tick may be cut into several graphs.
        lanes: number of lanes of the only bucket.
        cache: folder of the compiler's artifacts.
        start: kind of start; one with ``no C++ compiler`` hides the compiler.
        is_on_cpu: whether CUDA devices are hidden.
    """
    environment = dict(os.environ)
    if is_on_cpu:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    if "no C++ compiler" in start:
        environment["PATH"] = cache
        environment.pop("CXX", None)
    began, used = time.perf_counter(), _processor_seconds()
    command = [sys.executable, "-c", _PROGRAM, str(dataset), str(policy), engine, str(lanes), cache]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds = {"start to ready s": time.perf_counter() - began, "processor s": _processor_seconds() - used}
    return {**json.loads(answer.stdout.splitlines()[-1]), **seconds}


def _processor_seconds() -> float:
    """Returns the processor seconds of this process' ended children and theirs, which a busy machine hardly changes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
