"""The default buckets of a server; compilation ahead of time must use the same."""

from __future__ import annotations

_CPU = (512,)
_DEVICE = (64, 512, 4096)


def serving_buckets(device: str, *, calibrate: bool) -> tuple[int, ...] | None:
    """Returns the server's buckets on ``device``: one on a CPU, where a tick costs what its moving lanes cost; None if
    calibration chooses them.
    """
    if device == "cpu":
        return _CPU
    return None if calibrate else _DEVICE
