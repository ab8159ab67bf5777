"""Loads the service on Ray Serve and kills a ranker meanwhile: is every request answered or refused?

    python -m load.ray_serve --rankers 2 --seconds 60 --rate 4

Starts ``deploy/serve-cpu.yaml`` with its own Ray, on the graph in the package, and runs ``load/locustfile.py`` against
it. The exit status is 0 if every answer was a success, 429 or 503, and another ranker replaced the killed one
(SIGKILL). Needs the extras ``load`` and ``ray``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

from load.processes import REPOSITORY, ProcessError, clean_environment
from load.ray_process import RayServeProcess

_SECONDS_TO_REPLACE = 120.0


def make_parser() -> argparse.ArgumentParser:
    """Makes the parser of the options."""
    parser = argparse.ArgumentParser(
        prog="python -m load.ray_serve", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--rankers", type=int, default=2, help="replicas that rank, without GPUs")
    parser.add_argument("--seconds", type=float, default=60.0, help="duration of the load")
    parser.add_argument("--rate", type=float, default=4.0, help="single queries a second")
    parser.add_argument(
        "--kill-after", type=float, help="seconds before the kill; by default a third of the load"
    )
    parser.add_argument("--lease-seconds", type=float, default=30.0, help="duration of a lease")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit status."""
    parser = make_parser()
    parsed = parser.parse_args(arguments)
    kill_after = parsed.seconds / 3 if parsed.kill_after is None else parsed.kill_after
    if parsed.rankers < 2:
        parser.error(f"--rankers is {parsed.rankers}; expected 2 or more, because one is killed")
    if not 0 <= kill_after < parsed.seconds:
        parser.error(
            f"--kill-after is {kill_after:g}; expected less than --seconds, which is {parsed.seconds:g}"
        )
    with RayServeProcess(
        {},
        lease_seconds=parsed.lease_seconds,
        ranker={"num_replicas": parsed.rankers},
        num_cpus=parsed.rankers + 1,
    ) as serving:
        serving.wait_until_ready(parsed.rankers)
        with _locust(serving.url, parsed.seconds, parsed.rate) as locust:
            time.sleep(kill_after)
            was_replaced = _replaces_a_killed_ranker(serving)
            status = locust.wait()
    return 0 if status == 0 and was_replaced else 1


def _locust(url: str, seconds: float, rate: float) -> subprocess.Popen[bytes]:
    """Starts the load; its summary goes to the output of this process."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "locust", "-f", "load/locustfile.py", "--headless", "--only-summary"),
            *("--host", url, "--loglevel", "WARNING", "--run-time", f"{seconds:g}s", "--rate", f"{rate:g}"),
        ],
        cwd=REPOSITORY,
        env=clean_environment(1, {}),
    )


def _replaces_a_killed_ranker(serving: RayServeProcess) -> bool:
    """Kills a ranker and waits for another; prints and returns whether one came."""
    before = set(serving.ready_rankers())
    serving.ranker_processes()[0].kill()
    killed = time.monotonic()
    while not set(serving.ready_rankers()) - before:
        if time.monotonic() - killed > _SECONDS_TO_REPLACE:
            print(f"a ranker was killed, and none replaced it in {_SECONDS_TO_REPLACE:g} s", flush=True)
            return False
        time.sleep(0.2)
    print(f"a ranker was killed, and another replaced it after {time.monotonic() - killed:.1f} s", flush=True)
    return True


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ProcessError as error:
        sys.exit(str(error))
