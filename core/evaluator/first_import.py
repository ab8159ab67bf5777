"""The first import of torch's compiler, which takes longer than all else that a process imports."""

from __future__ import annotations

import importlib


def load_compiler() -> None:
    """Loads the compiler, where something is to be compiled.

    ``torch._dynamo`` and ``torch._inductor`` import each other: threads that began with different ones would meet half
    of a module. All begin with this one.
    """
    importlib.import_module("torch._dynamo")
