"""Chooses the sizes of a bucket's buffers from the graph's own statistics, and checks them against memory."""

from __future__ import annotations

from core.errors import EvaluationError
from core.policy.features import CHUNK_ROWS
from core.prover.environment import Capacities
from core.prover.settings import ProverSettings
from core.prover.tables import GraphTables

DEFAULT_BUCKETS = (64, 512)

_ROWS_PER_LANE = 24
_CHECKS_PER_LANE = 64
_STATES_PER_LANE = 16


def choose_capacities(num_lanes: int, tables: GraphTables, settings: ProverSettings) -> Capacities:
    """Sizes for ``num_lanes`` lanes: enough for the largest request of one, and for usual ones of all.

    Raises:
        EvaluationError: ``num_lanes`` is below 1.
    """
    if num_lanes < 1:
        raise EvaluationError(f"a bucket of {num_lanes} lanes; expected at least 1")
    most_rows = tables.max_rules + settings.padding_states + 1
    num_states = max(num_lanes * _STATES_PER_LANE, settings.padding_states + 1)
    return Capacities(
        num_lanes=num_lanes,
        num_rows=max(num_lanes * _ROWS_PER_LANE, most_rows),
        num_checks=max(num_lanes * _CHECKS_PER_LANE, 1024),
        # Whole chunks: the network computes no other number of rows.
        num_states=-(-num_states // CHUNK_ROWS) * CHUNK_ROWS,
    )
