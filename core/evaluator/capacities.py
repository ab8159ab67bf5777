"""Chooses the sizes of a bucket's buffers from the graph's own statistics, and checks them against memory."""

from __future__ import annotations

import os

import torch

from core.errors import EvaluationError
from core.policy.features import CHUNK_ROWS
from core.prover.environment import Capacities
from core.prover.lanes import LaneShape
from core.prover.settings import ProverSettings
from core.prover.tables import GraphTables

DEFAULT_BUCKETS = (64, 512)

_HEADROOM = 2.0
"""Rows for each lane, over what a goal of a rule's body has on average: goals differ much."""

_CHECKS_PER_LANE = 64
_MOST_ROWS_PER_LANE = 64
_COPIES = 12
"""Buffers of a tick that are alive at once, at most, each as large as the rows' atoms: counted in its code."""


def choose_capacities(num_lanes: int, tables: GraphTables, settings: ProverSettings) -> Capacities:
    """Sizes for ``num_lanes`` lanes: enough for the largest request of one, and for usual ones of all.

    Lanes whose requests do not fit wait a tick, so these numbers bear on speed, never on a result.

    Raises:
        EvaluationError: ``num_lanes`` is below 1.
    """
    if num_lanes < 1:
        raise EvaluationError(f"a bucket of {num_lanes} lanes; expected at least 1")
    most_rows = tables.max_rules + settings.padding_states + 1
    rows_per_lane = min(_MOST_ROWS_PER_LANE, max(4, round(_HEADROOM * tables.mean_choices)))
    num_states = max(num_lanes * rows_per_lane, settings.padding_states + 1)
    return Capacities(
        num_lanes=num_lanes,
        num_rows=max(num_lanes * rows_per_lane, most_rows),
        num_checks=max(num_lanes * _CHECKS_PER_LANE, 1024),
        # Whole chunks: the network computes no other number of rows.
        num_states=-(-num_states // CHUNK_ROWS) * CHUNK_ROWS,
    )


def required_bytes(capacities: Capacities, shape: LaneShape, longest_body: int, hidden_dim: int) -> int:
    """Bytes that one bucket needs, estimated from above."""
    row_atoms = longest_body + shape.working_atoms
    lanes = capacities.num_lanes * (
        8 * shape.num_visited * (1 + shape.working_atoms) + 4 * shape.embedding_dim + 8 * shape.max_depth
    )
    # Lanes are kept, and made anew in a tick before they are copied back.
    rows = capacities.num_rows * row_atoms * 8 * _COPIES + capacities.num_rows * shape.num_visited * 16
    checks = capacities.num_checks * 8 * _COPIES * 2
    states = capacities.num_states * 4 * (3 * hidden_dim + 4 * shape.embedding_dim)
    return 2 * lanes + rows + checks + states


def check_memory(num_bytes: int, what: str, device: torch.device) -> None:
    """Refuses what does not fit.

    Raises:
        EvaluationError: ``num_bytes`` are more than the device has free.
    """
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if num_bytes > free:
        raise EvaluationError(
            f"{what} needs about {num_bytes / 2**30:.1f} GiB on {device}, of which {free / 2**30:.1f} GiB are free; "
            "use fewer lanes"
        )
