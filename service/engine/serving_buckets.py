"""How many lanes the server has, unless somebody says otherwise: what is compiled ahead of time must be for these."""

from __future__ import annotations

_CPU = (512,)
_DEVICE = (64, 512, 4096)


def serving_buckets(device: str, *, calibrate: bool) -> tuple[int, ...] | None:
    """The server's buckets on ``device``: one on a CPU, where a tick costs what its moving lanes cost; None where
    calibration is to choose them."""
    if device == "cpu":
        return _CPU
    return None if calibrate else _DEVICE
