"""Names the parts of a tick in a profile, by wrapping them from outside; the tick itself is not changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

from torch.profiler import record_function

from proofrank.core.evaluator import tick as tick_module
from proofrank.core.evaluator.tick import Tick
from proofrank.core.prover import environment as environment_module

PREFIX = "tick: "
"""Prefix of the names of the parts in a trace."""

PARTS = ("refill", "count", "admit", "expand", "check", "filter", "pack", "score", "select", "move", "rest")
"""Parts in the order of a tick. ``check`` looks for immediate proofs among facts, ``pack`` gathers the states to score,
``move`` makes the lanes after the step and stores them; ``filter`` and ``rest`` are the remainder of the observation
and of the tick.
"""


@contextmanager
def named_parts(tick: Tick) -> Iterator[None]:
    """Makes the parts of ``tick``, which must not be compiled, ranges of ``torch.profiler`` while the context lasts.

    Ranges are nested; time belongs to the innermost.
    """
    environment = tick.environment
    wrapped = (
        (environment, "refill", "refill"),
        (environment.engine, "matches", "count"),
        (environment_module, "admit", "admit"),
        (environment_module, "rows_of", "admit"),
        (environment.engine, "resolve", "expand"),
        (environment, "_check_facts", "check"),
        (environment, "observe", "filter"),
        (environment, "_pack_states", "pack"),
        (tick, "score", "score"),
        (environment, "_logits", "select"),
        (environment, "_select", "select"),
        (environment, "step_functional", "move"),
        (environment, "retire", "move"),
        (tick_module, "store", "move"),
        (tick, "whole", "rest"),
    )
    with ExitStack() as stack:
        for owner, name, part in wrapped:
            stack.enter_context(_named(owner, name, part))
        yield


@contextmanager
def _named(owner: Any, name: str, part: str) -> Iterator[None]:
    is_own = name in vars(owner)
    function: Callable[..., Any] = getattr(owner, name)

    @wraps(function)
    def named(*arguments: Any, **options: Any) -> Any:
        with record_function(PREFIX + part):
            return function(*arguments, **options)

    setattr(owner, name, named)
    try:
        yield
    finally:
        if is_own:
            setattr(owner, name, function)
        else:
            delattr(owner, name)
