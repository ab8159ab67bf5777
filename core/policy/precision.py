"""Precisions of the network's matrix products, and the process-wide flag that they depend on.

``float32`` is exact to rounding; ``tf32`` uses CUDA's matrix units, which keep 10 bits of each factor; ``bfloat16``
keeps 7. Sums, norms, embeddings and logits are float32 with each.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from proofrank.core.errors import EvaluationError

PRECISIONS = ("float32", "tf32", "bfloat16")


def precisions_of(device: torch.device) -> tuple[str, ...]:
    """Returns the precisions that ``device`` supports."""
    return tuple(name for name in PRECISIONS if name != "tf32" or device.type == "cuda")


def check_precision(precision: str, device: torch.device) -> None:
    """Refuses a precision that ``device`` does not support.

    Raises:
        EvaluationError: names the precision, and those that ``device`` supports.
    """
    known = precisions_of(device)
    if precision in known:
        return
    if precision in PRECISIONS:
        raise EvaluationError(
            f"precision {precision!r} needs a CUDA device, not {device.type!r}; expected one of {', '.join(known)}"
        )
    raise EvaluationError(f"precision is {precision!r}; expected one of {', '.join(known)}")


@contextmanager
def matrix_products_in(precision: str) -> Iterator[None]:
    """Rounds float32 matrix products to TF32 while the context lasts if ``precision`` is ``tf32``, and not otherwise.

    The flag applies to the whole process; its previous value is restored once no context of this precision is left in
    any thread. Contexts of different precisions must not overlap.
    """
    wanted = "high" if precision == "tf32" else "highest"
    _USERS.enter(wanted)
    try:
        yield
    finally:
        _USERS.leave()


class _Users:
    """Number of contexts of all threads that want the flag as it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._before = ""

    def enter(self, wanted: str) -> None:
        with self._lock:
            now = torch.get_float32_matmul_precision()
            if self._number == 0:
                self._before = now
            self._number += 1
            if now != wanted:
                torch.set_float32_matmul_precision(wanted)

    def leave(self) -> None:
        with self._lock:
            self._number -= 1
            if self._number == 0 and torch.get_float32_matmul_precision() != self._before:
                torch.set_float32_matmul_precision(self._before)


_USERS = _Users()
