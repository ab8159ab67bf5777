"""From the start of the process to ready, stage by stage: cold, and again with what the compiler left.

python -m benchmarks.startup
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import SHARED, machine, print_table, write_output
from core.default import DATASET, POLICY

_PROGRAM = """
import json, sys, time
began = time.perf_counter()
import torch
from pathlib import Path
from core.evaluator import create_evaluator, settings_for
from core.graph import load_dataset
from core.policy import load_policy
imported = time.perf_counter()
dataset = load_dataset(sys.argv[1]); policy = load_policy(sys.argv[2], dataset)
loaded = time.perf_counter()
evaluator = create_evaluator(sys.argv[3], dataset, policy, settings_for(policy), buckets=(int(sys.argv[4]),),
                             cache_folder=Path(sys.argv[5]))
built = time.perf_counter()
evaluator.warm_up()
warm = time.perf_counter()
print(json.dumps({"import s": imported - began, "load s": loaded - imported, "build s": built - loaded,
                  "compile and warm up s": warm - built}))
"""


def main() -> int:
    """Runs each start in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engines", nargs="+", default=["eager", "default"])
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
                for start in ("cold", "again"):
                    row = {"dataset": name, "engine": engine, "start": start}
                    rows.append({**row, **_start(dataset, policy, engine, parsed.lanes, cache)})
    print(machine())
    print_table(rows)
    write_output(parsed.json, {"rows": rows})
    return 0


def _start(dataset: Path, policy: Path, engine: str, lanes: int, cache: str) -> dict[str, Any]:
    began = time.perf_counter()
    command = [sys.executable, "-c", _PROGRAM, str(dataset), str(policy), engine, str(lanes), cache]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    stages = json.loads(answer.stdout.splitlines()[-1])
    return {**stages, "start to ready s": time.perf_counter() - began}


if __name__ == "__main__":
    raise SystemExit(main())
