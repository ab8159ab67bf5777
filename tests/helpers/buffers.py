"""Buffers of the vectorised engine as tests want them: of fixed shape, or as small as can be."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from proofrank.core.evaluator import compiled
from proofrank.core.evaluator.modes import Mode
from proofrank.core.evaluator.tick import HalvedTick, WholeTick
from proofrank.core.policy.features import ROW_MULTIPLE
from proofrank.core.prover import ProverSettings
from proofrank.core.prover.observation import Capacities
from proofrank.core.prover.tables import GraphTables


def least_capacities(
    num_lanes: int, tables: GraphTables, settings: ProverSettings, *_: object, **options: object
) -> Capacities:
    """Returns the smallest buffers that hold one lane's requests."""
    return Capacities(
        num_lanes=num_lanes,
        num_rows=tables.max_rules + settings.padding_states + 1,
        num_checks=2,
        # The network computes whole blocks of 64 rows where it follows the true count.
        num_states=ROW_MULTIPLE * 2 if options.get("is_counting") else settings.padding_states + 1,
    )


def use_static_shapes(monkeypatch: pytest.MonkeyPatch, *, is_counting: bool = False) -> None:
    """Makes ``eager`` run on buffers of fixed shape, like the compiled modes; in halves, like ``default`` on a CPU."""
    mode = Mode.of("eager", fullgraph=True, device=torch.device("cpu"))
    static = dataclasses.replace(mode, tick=HalvedTick if is_counting else WholeTick)
    monkeypatch.setattr(Mode, "of", lambda *_, **__: static)


def use_least_capacities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes buckets as small as possible, so that lanes must wait for each other."""
    monkeypatch.setattr(compiled, "choose_capacities", least_capacities)
