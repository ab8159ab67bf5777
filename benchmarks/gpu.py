"""Builds, checks and times everything on one device in one command, and writes the results to files.

python -m benchmarks.gpu --out results                        # a CUDA card, half an hour
python -m benchmarks.gpu --out results --minutes 9            # the most important first, done in about ten minutes
python -m benchmarks.gpu --out results --device cpu --quick   # tries every program, in seconds, without a card

It needs torch, numpy, triton and safetensors, not the service, and writes ``gpu.json`` (after every row), ``gpu.md``,
traces, and ``gpu.png`` if matplotlib is installed. Its exit status is 1 if something failed, does not agree, or was not
compared with the original as required.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.common import SHARED, arguments_of
from benchmarks.device import (
    all_entities,
    environment,
    limit,
    memory,
    parity,
    profile,
    properties,
    saturation,
    startup,
    times,
)
from benchmarks.device.bench import QUICK, WHOLE, Bench
from benchmarks.device.record import Record, markdown
from proofrank.core.evaluator import default_device

STAGES = {
    "environment": 1,
    "parity": 20,
    "properties": 6,
    "times": 20,
    "limit": 12,
    "profile": 8,
    "startup": 12,
    "saturation": 15,
    "all_entities": 10,
    "memory": 5,
}
"""The stages in their order, the most important first, each with its weight in the division of the time."""


def main() -> int:
    """Runs the stages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the results")
    parser.add_argument("--device", default=default_device(), help="default: CUDA where there is a card")
    parser.add_argument("--quick", action="store_true", help="small sizes, without the compiler")
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES), metavar="STAGE",
                        help=f"only these of {', '.join(STAGES)}")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=30.0, help="time after which nothing new is begun")
    parser.add_argument("--side", choices=("head", "tail"), default="tail", help="side that is corrupted")
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder of datasets and recordings")
    parser.add_argument(
        "--cache-folder", type=Path, help="folder of compiled artifacts; default: a temporary one"
    )
    parser.add_argument("--commit", help="commit of the code, if there is no git")
    parser.add_argument(
        "--threads", type=int, help="threads of torch; default: all cores on a CPU, 1 beside a card"
    )
    parsed = parser.parse_args()
    device = torch.device(parsed.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no CUDA device here; --device cpu tries the programs")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # the device on which streams and events are made
    torch.set_num_threads(parsed.threads or (1 if device.type == "cuda" else torch.get_num_threads()))
    header = {"arguments": arguments_of(parsed), "device": str(device)}
    record = Record(parsed.out / "gpu.json", header)
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(
            device=device,
            sizes=QUICK if parsed.quick else WHOLE,
            side=parsed.side,
            shared=parsed.shared,
            cache_folder=parsed.cache_folder or Path(temporary),
            out=parsed.out,
        )
        run_stages(bench, record, parsed.stages, 60 * parsed.minutes, parsed.commit)
    page = markdown(header, record.stages)
    (parsed.out / "gpu.md").write_text(page + "\n")
    print(page)
    _draw(parsed.out)
    return 1 if record.has_failed else 0


def run_stages(bench: Bench, record: Record, stages: list[str], seconds: float, commit: str | None) -> None:
    """Runs ``stages`` in the order of ``STAGES``; divides ``seconds`` by weight, and gives what one leaves to
    the next.
    """
    measures: dict[str, Callable[[], None]] = {
        "environment": lambda: environment.measure(bench, record, commit),
        "parity": lambda: parity.measure(bench, record),
        "properties": lambda: properties.measure(bench, record),
        "times": lambda: times.measure(bench, record),
        "limit": lambda: limit.measure(bench, record),
        "profile": lambda: profile.measure(bench, record),
        "startup": lambda: startup.measure(bench, record),
        "saturation": lambda: saturation.measure(bench, record),
        "all_entities": lambda: all_entities.measure(bench, record),
        "memory": lambda: memory.measure(bench, record),
    }
    asked = [name for name in STAGES if name in stages]
    for place, name in enumerate(asked):
        weight = sum(STAGES[other] for other in asked[place:])
        seconds_used = sum(stage["seconds"] for stage in record.stages.values())
        print(f"--- {name}", file=sys.stderr, flush=True)
        record.run_stage(name, measures[name], (seconds - seconds_used) * STAGES[name] / weight)


def _draw(out: Path) -> None:
    """Draws the picture if matplotlib is installed; otherwise prints how to."""
    try:
        from benchmarks.draw import draw
    except ImportError as error:
        print(
            f"not drawn: {error}; where matplotlib is installed: "
            f"python -m benchmarks.draw {out / 'gpu.json'} --out {out / 'gpu.png'}"
        )
        return
    draw(out / "gpu.json", out / "gpu.png")


if __name__ == "__main__":
    raise SystemExit(main())
