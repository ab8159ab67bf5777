"""Chooses the sizes of a bucket's buffers from the graph's own statistics, and checks them against memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch

from proofrank.core.errors import EvaluationError, MemoryShortError
from proofrank.core.evaluator.available_memory import available_on
from proofrank.core.policy.features import CHUNK_ROWS
from proofrank.core.prover.lanes import LaneShape
from proofrank.core.prover.observation import Capacities
from proofrank.core.prover.rows import MOST_ROWS
from proofrank.core.prover.settings import ProverSettings
from proofrank.core.prover.tables import GraphTables

DEFAULT_BUCKETS = (64, 512)

_HEADROOM = 2.0
"""Rows for each lane, over what a goal of a rule's body has on average: goals differ much."""

_SCARCE = 0.6
"""States scored in a tick of fixed shape, of what all lanes of a bucket would ask for if none ever waited."""

_AMPLE = 1.25
"""Rows and checks of a tick, likewise, so that states are what lanes wait for; and states that are counted."""

_CHECKS_PER_LANE = 64
_LEAST_CHECKS = 1024
_MOST_ROWS_PER_LANE = 64
_COPIES = 12
"""Buffers of a tick that are alive at once, at most, each as large as the rows' atoms: counted in its code."""


@dataclass(frozen=True)
class PerLane:
    """How much of a tick's buffers there is for each lane of a bucket; what is None is chosen from the graph.

    More lets more lanes move in a tick; less saves memory, and padding where shapes are fixed. No result depends on it.

    Attributes:
        rows: resolvents built in a tick.
        checks: facts looked at for immediate proofs in a tick, beyond those that become rows.
        states: states scored in a tick; rounded up to whole chunks of the network for a bucket.
    """

    rows: int | None = None
    checks: int | None = None
    states: int | None = None

    def __post_init__(self) -> None:
        """Raises EvaluationError for a number below 1."""
        for field in fields(self):
            number = getattr(self, field.name)
            if number is not None and (type(number) is not int or number < 1):
                raise EvaluationError(
                    f"{field.name} per lane is {number!r}; expected a whole number, 1 or more"
                )


@dataclass(frozen=True)
class Demand:
    """What a lane that moves asks for in a tick, on average over a long run, where nothing is scarce.

    Attributes:
        rows: resolvents.
        checks: facts looked at for immediate proofs, beyond those.
        states: states to score.
    """

    rows: float
    checks: float
    states: float

    def __post_init__(self) -> None:
        """Raises EvaluationError for what is no finite number of 0 or more."""
        for field in fields(self):
            number = getattr(self, field.name)
            if type(number) not in (int, float) or not 0 <= number < 2**31:
                raise EvaluationError(f"demand for {field.name} is {number!r}; expected a number, 0 or more")


FROM_THE_GRAPH = PerLane()
"""Everything is chosen."""


def choose_capacities(
    num_lanes: int,
    tables: GraphTables,
    settings: ProverSettings,
    per_lane: PerLane = FROM_THE_GRAPH,
    demand: Demand | None = None,
    *,
    is_counting: bool = False,
) -> Capacities:
    """Sizes for ``num_lanes`` lanes: enough for the largest request of one, and for usual ones of all.

    Lanes whose requests do not fit wait a tick, so these numbers bear on speed, never on a result.

    Args:
        num_lanes: of the bucket.
        tables: the graph.
        settings: of the prover.
        per_lane: sizes that are set; a bucket of few lanes has more, where one lane alone may need it.
        demand: of the lanes; sizes that are not set are fitted to it.
        is_counting: whether the network computes no more than the states there are: room for more costs nothing.

    Raises:
        EvaluationError: ``num_lanes`` is below 1.
    """
    if num_lanes < 1:
        raise EvaluationError(f"a bucket of {num_lanes} lanes; expected at least 1")
    least = least_capacities(num_lanes, tables, settings)
    usual = _usual_capacities(num_lanes, tables, per_lane)
    chosen = usual if demand is None else _fitted_capacities(num_lanes, demand, is_counting=is_counting)

    def enough(set_for_a_lane: int | None, chosen: int, least: int) -> int:
        return max(chosen if set_for_a_lane is None else num_lanes * set_for_a_lane, least)

    states = enough(per_lane.states, chosen.num_states, least.num_states)
    return Capacities(
        num_lanes=num_lanes,
        num_rows=enough(per_lane.rows, chosen.num_rows, least.num_rows),
        num_checks=enough(per_lane.checks, chosen.num_checks, least.num_checks),
        # Whole chunks: the largest number of rows that the network may have to compute.
        num_states=-(-states // CHUNK_ROWS) * CHUNK_ROWS,
    )


def _usual_capacities(num_lanes: int, tables: GraphTables, per_lane: PerLane) -> Capacities:
    """Demand of ``num_lanes`` lanes where only the graph is known; no more states than rows that are set."""
    rows = min(_MOST_ROWS_PER_LANE, max(4, round(_HEADROOM * tables.mean_choices)))
    states = min(rows, per_lane.rows if per_lane.rows is not None else rows)
    return Capacities(
        num_lanes=num_lanes,
        num_rows=num_lanes * rows,
        num_checks=max(num_lanes * _CHECKS_PER_LANE, _LEAST_CHECKS),
        num_states=num_lanes * states,
    )


def _fitted_capacities(num_lanes: int, demand: Demand, *, is_counting: bool) -> Capacities:
    """Capacities that fit ``num_lanes`` lanes of that demand."""
    states = num_lanes * demand.states
    return Capacities(
        num_lanes=num_lanes,
        num_rows=math.ceil(num_lanes * demand.rows * _AMPLE),
        num_checks=math.ceil(num_lanes * demand.checks * _AMPLE),
        # Less than is asked for, where the network computes every place: lanes that do not fit wait, and there is
        # no padding.
        num_states=math.ceil(states * _AMPLE)
        if is_counting
        else int(states * _SCARCE) // CHUNK_ROWS * CHUNK_ROWS,
    )


def least_capacities(num_lanes: int, tables: GraphTables, settings: ProverSettings) -> Capacities:
    """The least sizes with which every lane gets its turn: what one lane may ask for, which is never cut."""
    return Capacities(
        num_lanes=num_lanes,
        # Every rule of its goal, and one fact more than can be actions: the excluded one may be among them.
        num_rows=tables.max_rules + settings.padding_states + 1,
        # Checks of a lane may be split over ticks.
        num_checks=1,
        # Every action, and the state that they are actions of.
        num_states=settings.padding_states + 1,
    )


def check_capacities(capacities: Capacities, tables: GraphTables, settings: ProverSettings) -> None:
    """Refuses sizes with which a lane might wait for ever.

    Raises:
        EvaluationError: names the sizes that are too small, and what they must be at least.
    """
    least = least_capacities(1, tables, settings)
    too_small = [
        f"{field.name} is {getattr(capacities, field.name)}, must be at least {getattr(least, field.name)}"
        for field in fields(Capacities)
        if getattr(capacities, field.name) < getattr(least, field.name)
    ]
    if too_small:
        raise EvaluationError(
            f"a bucket of {capacities.num_lanes} lanes would wait for ever: {'; '.join(too_small)} "
            f"(one lane may ask for the {tables.max_rules} rules of a predicate, "
            f"padding_states {settings.padding_states} actions and one more)"
        )


def check_countable(capacities: Capacities) -> None:
    """Refuses more rows than 32 bits count.

    Raises:
        EvaluationError: names the number of rows.
    """
    if capacities.num_rows > MOST_ROWS:
        raise EvaluationError(
            f"a bucket of {capacities.num_lanes} lanes has {capacities.num_rows} rows; expected at most {MOST_ROWS}: "
            "use fewer lanes"
        )


def required_bytes(
    capacities: Capacities,
    shape: LaneShape,
    longest_body: int,
    hidden_dim: int,
    embedding_floats: int = 0,
    *,
    lane_copies: int = 2,
) -> int:
    """Bytes that one bucket needs, estimated from above.

    Args:
        capacities: of the bucket.
        shape: of its lanes.
        longest_body: most atoms in the body of a rule.
        hidden_dim: width of the network's body.
        embedding_floats: numbers that the embedding of a state needs at once, where all states are embedded together.
        lane_copies: how often the lanes are there at once.
    """
    row_atoms = longest_body + shape.working_atoms
    lanes = capacities.num_lanes * (
        8 * shape.num_visited * (1 + shape.working_atoms) + 4 * shape.embedding_dim + 8 * shape.max_depth
    )
    # Lanes are kept, and made anew in a tick before they are copied back.
    rows = capacities.num_rows * row_atoms * 8 * _COPIES + capacities.num_rows * shape.num_visited * 16
    checks = capacities.num_checks * 8 * _COPIES * 2
    states = capacities.num_states * 4 * (3 * hidden_dim + 4 * shape.embedding_dim + embedding_floats)
    return lane_copies * lanes + rows + checks + states


def check_memory(num_bytes: int, what: str, device: torch.device, share: float | None = None) -> None:
    """Refuses what does not fit.

    Args:
        num_bytes: wanted.
        what: wants them.
        device: where.
        share: of the device's memory, what this process may have; all that is free if None.

    Raises:
        MemoryShortError: ``num_bytes`` are more than this process may take there.
    """
    available = available_on(device, share)
    if num_bytes <= available.num_bytes:
        return
    free = f"{available.num_bytes / 2**30:.1f} GiB are free"
    if available.budget is not None:
        free += f" within a budget of {available.budget / 2**30:.1f} GiB ({share:g} of the device)"
    raise MemoryShortError(
        f"{what} needs about {num_bytes / 2**30:.1f} GiB on {device}, of which {free}; use fewer lanes"
    )
