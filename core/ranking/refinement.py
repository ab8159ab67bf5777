"""An evaluation that goes on until the MRR is certain to a tolerance, and further if a smaller one is asked for.

A ranking under way knows how many corruptions score more than its positive, and which are open; so its rank lies in an
interval, and so does every metric (:mod:`proofrank.core.ranking.intervals`). Positives go first, each once for both
sides. Its score tells of many corruptions that they score more or less, and these need no trajectory
(:mod:`proofrank.core.ranking.refined_scores`). The others are proved in the order that narrows the interval of the MRR
fastest (:mod:`proofrank.core.ranking.next_candidates`).

Nothing is kept for each candidate: the corruptions of a ranking are drawn again, in the same order, when they are
needed.

:meth:`Refinement.refine` does the work by an evaluator. Where candidates are proved by something else, as in a server,
:meth:`Refinement.next_part` says which come next, and takes in their outcomes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple, Protocol

import numpy as np

from proofrank.core.choices import PRUNING_LEVELS
from proofrank.core.errors import RankingError
from proofrank.core.evaluator import Evaluator
from proofrank.core.graph import Triple
from proofrank.core.prover import Candidates, Outcomes
from proofrank.core.ranking.corruptions import Side, query_seed, triples_with
from proofrank.core.ranking.intervals import Interval, RankedSoFar, mrr_interval
from proofrank.core.ranking.next_candidates import Outlook, next_candidates
from proofrank.core.ranking.pruning import PruningCounts
from proofrank.core.ranking.queries import LazyQueries
from proofrank.core.ranking.rank_table import RankTable
from proofrank.core.ranking.ranks import TIE_POLICIES
from proofrank.core.ranking.refined_scores import NUM_KINDS, refined_scores
from proofrank.core.ranking.scoring import Scoring

MOST_AT_ONCE = 2048
"""Maximum number of candidates between two looks at what to prove next."""

_PARTS_OF_A_LONG_WAY, _MOST_PARTS = 8, 8
"""Number of parts into which a long way to the tolerance is divided, and the most that a part may be, in multiples of
the usual maximum: with longer parts, more processes can share the work."""

LEAST_AT_ONCE = 128
"""Number of candidates between two looks at least, which share the network's calls."""

_REMEMBERED_CONSTANTS = 16_000_000
"""Number of constants whose order is kept, so that it need not be drawn again; each takes four bytes."""

_PRIOR_GROWTH, _PRIOR_STEPS, _PRIOR_WEIGHT = 0.5, 6.0, 8.0
"""Estimates before anything is known, and the number of candidates that they count for."""

_MOST_SCORED_AT_ONCE = 500_000
"""Number of candidates of positives that are proved together, if an embedding scores them all once these are known:
some seconds on one core, after which an evaluation can be stopped."""

_WEIGHT_OF_TIES = {"optimistic": 0.0, "realistic": 0.5, "pessimistic": 1.0, "random": 0.5}
"""What a corruption that scores as much as the positive adds to its rank, on average."""


class ProvableCompletions(Protocol):
    """Tells which atoms may have a proof; :class:`proofrank.core.provability.LeastModel` does."""

    def completions(self, predicate: int, side: Side, other: int) -> np.ndarray:
        """The constants, ascending ``[n]`` int64, that on ``side`` and beside ``other`` make an atom that may have
        a proof.
        """
        ...


class AllCompletions:
    """In place of a least model that is not known: every atom may have a proof."""

    def __init__(self, num_constants: int) -> None:
        self._constants = np.arange(1, num_constants + 1)

    def completions(self, predicate: int, side: Side, other: int) -> np.ndarray:
        """See :class:`ProvableCompletions`."""
        return self._constants


@dataclass(frozen=True, eq=False)
class RefinementPart:
    """The candidates to prove next.

    Attributes:
        candidates: of one or more rankings; none where the part is scored by an embedding alone.
        put: takes in their outcomes, in order, once. Raises EmbeddingError, and takes nothing in, if one of their
            rankings has a candidate without a score by the embedding.
    """

    candidates: Candidates
    put: Callable[[Outcomes], None]


@dataclass(frozen=True)
class RefinementProgress:
    """How far an evaluation has come.

    Attributes:
        mrr: its interval.
        num_decided: candidates whose order is known.
        num_candidates: all candidates.
    """

    mrr: Interval
    num_decided: int
    num_candidates: int


class Refinement:
    """An evaluation whose rankings are narrowed down step by step; see the module.

    Attributes:
        scoring: what scores beside or instead of proofs; None for proofs alone.
        seconds: time that the parts took.
    """

    def __init__(
        self,
        evaluator: Evaluator | None,
        work: LazyQueries,
        model: ProvableCompletions,
        *,
        level: str = "ranks",
        ties: str = "realistic",
        seed: int = 0,
        most_at_once: int = MOST_AT_ONCE,
        scoring: Scoring | None = None,
    ) -> None:
        """Proves nothing yet.

        Args:
            evaluator: proves the candidates; None where the caller proves the parts, or where nothing is proved.
            work: what to rank, at least one triple.
            model: says what has no proof.
            level: ``exact`` or ``ranks``: whether provable candidates take their course to the end, or end once they
                have fallen behind; of no use where nothing is proved.
            ties: rank that counts, one of ``TIE_POLICIES``.
            seed: seed of the random order of ties, and of the order of candidates.
            most_at_once: usual maximum of candidates between two looks at what to prove next; up to eight times as many
                where far more are needed.
            scoring: what scores beside or instead of proofs; None for proofs alone.

        Raises:
            RankingError: there is nothing to rank, or an option is wrong.
        """
        if ties not in TIE_POLICIES:
            raise RankingError(f"ties is {ties!r}; expected one of {', '.join(TIE_POLICIES)}")
        if scoring is None or scoring.kind != "embedding":
            check_level(level)
        self._triples = list(work.triples)
        if not self._triples:
            raise RankingError("there are no triples to rank")
        self._evaluator = evaluator
        self._corruptor = work.corruptor
        self._model = model
        self.scoring = scoring
        self._scores = refined_scores(scoring, level)
        self._ties = ties
        self._seed = seed
        self._most_at_once = most_at_once
        self._rankings: list[tuple[int, Side]] = [
            (index, side) for index, sides in enumerate(work.sides) for side in sides
        ]
        self._rows_of: list[list[int]] = [[] for _ in self._triples]
        for row, (index, _) in enumerate(self._rankings):
            self._rows_of[index].append(row)
        self._table = RankTable(
            np.array(
                [self._corruptor.count(self._triples[index], side) for index, side in self._rankings],
                dtype=np.int64,
            ),
            np.array([index for index, _ in self._rankings], dtype=np.int64),
            ties,
            lambda row: query_seed(seed, *self._at(row)),
        )
        number = len(self._rankings)
        self._num_positives = 0  # how many of the triples have been proved
        self._score = np.zeros(number, dtype=np.float64)  # of the positive
        self._num_taken = np.zeros(number, dtype=np.int64)  # from the start of a ranking's order
        self._num_provable = np.zeros(number, dtype=np.int64)  # corruptions that may have a proof
        self._draw = np.zeros(
            number, dtype=np.uint64
        )  # digest of the corruptions and of which may have a proof
        # Of each kind of corruptions: those proved, what they have added to the lowest ranks, and their steps.
        self._tried, self._growth, self._steps = np.zeros((3, NUM_KINDS, number))
        self._counts = PruningCounts()
        # Those of a row each, in all that is kept of a state.
        self._columns: Mapping[str, np.ndarray] = {
            **self._table.columns,
            "score": self._score,
            "num_taken": self._num_taken,
            "num_provable": self._num_provable,
            "draw": self._draw,
            "tried": self._tried,
            "growth": self._growth,
            "kind_steps": self._steps,
        }
        remembered = max(16, _REMEMBERED_CONSTANTS // work.corruptor.dataset.vocabulary.num_constants)
        self._order = lru_cache(maxsize=remembered)(self._drawn_order)
        self.seconds = 0.0

    @property
    def counts(self) -> PruningCounts:
        """How many candidates took which way so far; ``steps`` are those of all trajectories."""
        return self._counts

    @property
    def num_candidates(self) -> int:
        """Number of candidates, positives included."""
        return len(self._table) + int(self._table.num_corruptions.sum())

    @property
    def num_tried(self) -> int:
        """Number of triples whose positives have been proved, or have failed."""
        return self._num_positives

    @property
    def num_decided(self) -> int:
        """Number of candidates whose order is known."""
        table = self._table
        is_known = table.is_positive_known
        num_closed = int((table.num_corruptions - table.num_open)[is_known].sum())
        return int(np.count_nonzero(is_known)) + num_closed

    @property
    def rankings(self) -> Sequence[tuple[Triple, Side]]:
        """The positive and the side of each ranking, in order."""
        return [self._at(row) for row in range(len(self._table))]

    @property
    def mrr(self) -> Interval:
        """The interval of the MRR."""
        return mrr_interval(self._table.so_far())

    def so_far(self) -> RankedSoFar:
        """Bounds of the rankings, in order."""
        return self._table.so_far(tries_proofs=self._scores.proves)

    def refine(
        self,
        tolerance: float,
        *,
        max_seconds: float = math.inf,
        on_progress: Callable[[RefinementProgress], None] | None = None,
    ) -> Interval:
        """Goes on until the MRR is certain to ``tolerance``: its interval is at most twice as wide.

        What has been proved is not proved again. An error or an interruption loses what was under way, at most some
        thousand candidates; another call goes on from there.

        Args:
            tolerance: 0 or more; with 0 every rank is exact.
            max_seconds: when to stop before, with the interval reached by then; what is under way is ended first.
            on_progress: told after every part of the work.

        Returns:
            The interval of the MRR.

        Raises:
            RankingError: ``tolerance`` is no number of 0 or more.
            EvaluationError: a candidate cannot be evaluated exactly.
            EmbeddingError: a candidate has no score by the embedding.
        """
        if self._evaluator is None and self._scores.proves:
            raise RankingError("there is no evaluator; prove the parts of next_part")
        began, seconds_before = time.perf_counter(), self.seconds
        while (part := self.next_part(tolerance)) is not None and self.seconds - seconds_before < max_seconds:
            outcomes = Outcomes.unprovable(0)
            if self._evaluator is not None and len(part.candidates):
                outcomes = Outcomes.of(self._evaluator.evaluate(part.candidates))
            part.put(outcomes)
            self.seconds = seconds_before + time.perf_counter() - began
            if on_progress is not None:
                on_progress(RefinementProgress(self.mrr, self.num_decided, self.num_candidates))
        return self.mrr

    def next_part(self, tolerance: float) -> RefinementPart | None:
        """Candidates that narrow the interval of the MRR most; None once it is certain to ``tolerance``.

        A part that is not proved leaves all as it was, and comes again. By an embedding alone every rank is known in
        the end, whatever the tolerance, and the parts have no candidates to prove.

        Raises:
            RankingError: ``tolerance`` is no number of 0 or more.
        """
        check_tolerance(tolerance)
        has_positives = self._num_positives < len(self._triples)
        if self.mrr.half_width <= tolerance and (self._scores.proves or not has_positives):
            return None
        return self._positives_to_prove() if has_positives else self._corruptions_to_prove(tolerance)

    def state(self) -> dict[str, np.ndarray]:
        """A copy of all that has been found out, for :meth:`go_on_from`, as columns by name."""
        return {
            **{name: column.copy() for name, column in self._columns.items()},
            "num_positives": np.array(self._num_positives),
            "counts": np.array(dataclasses.astuple(self._counts)),
            "seconds": np.array(self.seconds),
            **({} if self._scores.digest is None else {"scoring": np.array(self._scores.digest)}),
        }

    def go_on_from(self, state: Mapping[str, np.ndarray]) -> None:
        """Takes in what another refinement of the same work, with the same options, has found out.

        The caller sees to it that candidates get the same bits as before, and that numpy draws the same numbers.

        Raises:
            RankingError: the state is not of this work, or another model says what may have a proof; nothing is taken
                in then.
        """
        digest = self._scores.digest
        names = {*self._columns, "num_positives", "counts", "seconds"}
        if set(state) != (names if digest is None else names | {"scoring"}) or any(
            state[name].shape != column.shape or state[name].dtype != column.dtype
            for name, column in self._columns.items()
        ):
            raise RankingError("the state is not one of this evaluation")
        if digest is not None and state["scoring"] != digest:
            raise RankingError("the embedding or the weights of its scores have changed since")
        for row in np.flatnonzero(state["is_positive_known"]).tolist():
            if _digest(*self._drawn(row)) != state["draw"][row]:
                raise RankingError("corruptions, or what is known of their proofs, have changed since")
        for name, column in self._columns.items():
            column[...] = state[name]
        self._num_positives = int(state["num_positives"])
        self._counts = PruningCounts(*state["counts"].tolist())
        self.seconds = float(state["seconds"])
        self._order.cache_clear()

    def _at(self, row: int) -> tuple[Triple, Side]:
        index, side = self._rankings[row]
        return self._triples[index], side

    def _positives_to_prove(self) -> RefinementPart:
        """The next positives."""
        part = range(self._num_positives, self._end_of_positives())
        triples = np.array([self._triples[index] for index in part], dtype=np.int64)
        if not self._scores.proves:
            nothing = Outcomes.unprovable(len(part))
            return RefinementPart(
                Candidates.of([]), lambda _: self._take_in_positives(part, triples, nothing)
            )
        return RefinementPart(
            Candidates(triples, np.ones(len(part), dtype=bool)),
            partial(self._take_in_positives, part, triples),
        )

    def _end_of_positives(self) -> int:
        """Where the next positives end."""
        first = self._num_positives
        end = min(first + self._most_at_once, len(self._triples))
        if self._scores.digest is None:
            return end
        num_scored = np.cumsum(
            [self._table.num_corruptions[self._rows_of[index]].sum() for index in range(first, end)]
        )
        return first + max(1, int(np.searchsorted(num_scored, _MOST_SCORED_AT_ONCE, side="right")))

    def _take_in_positives(self, part: range, triples: np.ndarray, outcomes: Outcomes) -> None:
        """Puts down the outcomes of positives, and takes from the open candidates what they tell the order of."""
        scores, steps = self._scores.of_positives(triples, outcomes), outcomes.steps
        places = [(place, row) for place, index in enumerate(part) for row in self._rows_of[index]]
        # Whatever may fail comes before anything is put down.
        looks = [self._look(row, float(scores[place])) for place, row in places]
        num_unopened = 0
        for (place, row), look in zip(places, looks, strict=True):
            self._begin(row, float(scores[place]), bool(outcomes.success[place]), look)
            self._table.steps[row] += steps[place] / len(self._rows_of[part[place]])
            num_unopened += int(self._table.num_corruptions[row]) - look.num_open
        self._num_positives = part.stop
        if self._scores.proves:
            self._counts += PruningCounts(len(places), num_unopened, 0, int(steps.sum()))

    def _look(self, row: int, score: float) -> _Look:
        """What the score of a ranking's positive tells of its corruptions."""
        constants, is_provable = self._drawn(row)
        look = self._scores.first_look(self._corruptions(row, constants), is_provable, score)
        return _Look(
            int(np.count_nonzero(look.is_open)),
            *(look.num_larger, look.num_equal),
            int(np.count_nonzero(is_provable)),
            _digest(constants, is_provable),
        )

    def _begin(self, row: int, score: float, is_proved: bool, look: _Look) -> None:
        """Puts down the outcome of a ranking's positive, and what it tells of its corruptions."""
        table = self._table
        self._draw[row] = look.digest
        self._num_provable[row] = look.num_provable
        self._score[row] = score
        table.is_positive_known[row] = True
        table.is_proved[row] = is_proved
        table.num_unsure[row] = look.num_provable
        table.num_open[row] = look.num_open
        table.larger[row] = look.num_larger
        table.equal[row] = look.num_equal

    def _corruptions(self, row: int, constants: np.ndarray) -> np.ndarray:
        """The corruptions of a ranking with ``constants`` ``[n]``, ``[n, 3]`` int64."""
        return triples_with(*self._at(row), constants)[1:]

    def _drawn(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """The constants of the corruptions of a ranking, ``[n]`` int64, and which of them may have a proof, ``[n]``
        bool.
        """
        triple, side = self._at(row)
        constants = self._corruptor.constants(triple, side)
        other = triple.head if side == "tail" else triple.tail
        completions = self._model.completions(triple.predicate, side, other)
        return constants, np.isin(constants, completions)

    def _drawn_order(self, row: int) -> tuple[np.ndarray, int]:
        """The constants of the corruptions that may need a trajectory, in the order in which they get it, ``[n]``
        int32, and how many may have a proof: these come first, for they score most.
        """
        constants, is_provable = self._drawn(row)
        order, num_provable = self._scores.order(
            self._corruptions(row, constants),
            is_provable,
            float(self._score[row]),
            np.random.default_rng([*query_seed(self._seed, *self._at(row)), 1]),
        )
        return constants[order].astype(np.int32), num_provable

    def _corruptions_to_prove(self, tolerance: float) -> RefinementPart:
        """The corruptions that narrow the interval most."""
        table = self._table
        low, high = table.bounds()
        rows = np.flatnonzero(table.num_open)
        outlook = Outlook(low[rows], high[rows], table.num_open[rows], *self._expectations(rows))
        width = 2 * tolerance * len(table)
        least = min(LEAST_AT_ONCE, self._most_at_once)
        counts = next_candidates(outlook, width, least, int(table.num_open.sum()))
        num_expected = int(counts.sum())
        if num_expected > self._most_at_once:
            part = min(num_expected // _PARTS_OF_A_LONG_WAY, _MOST_PARTS * self._most_at_once)
            counts = next_candidates(outlook, width, least, max(part, self._most_at_once))
        is_worked_on = counts > 0
        return self._part_of(rows[is_worked_on], counts[is_worked_on])

    def _expectations(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expected gain of the lowest rank by the next candidate of each of ``rows``, and its expected steps; ``[n]``
        each.
        """
        is_provable = self._num_taken[rows] < self._num_provable[rows]
        kind_of = self._scores.kinds(is_provable, self._score[rows], self._table.is_proved[rows])
        growth, steps = np.empty(len(rows)), np.empty(len(rows))
        for kind in range(NUM_KINDS):
            places = np.flatnonzero(kind_of == kind)
            own_tried = self._tried[kind, rows[places]] + _PRIOR_WEIGHT
            all_tried = self._tried[kind].sum() + _PRIOR_WEIGHT
            for expected, sums, prior in (
                (growth, self._growth[kind], _PRIOR_GROWTH),
                (steps, self._steps[kind], _PRIOR_STEPS),
            ):
                usual = (sums.sum() + prior * _PRIOR_WEIGHT) / all_tried
                expected[places] = (sums[rows[places]] + usual * _PRIOR_WEIGHT) / own_tried
        return growth.clip(1e-6, 1 - 1e-6), steps.clip(1.0)

    def _part_of(self, rows: np.ndarray, counts: np.ndarray) -> RefinementPart:
        """The next ``counts`` candidates of each of ``rows``, ``[n]`` int64 each."""
        row_of = np.repeat(rows, counts)
        triples, is_provable = self._next(rows, counts)
        score = self._score[row_of]
        scores = self._scores.part(triples, is_provable, score)
        candidates = Candidates(triples, np.zeros(len(row_of), dtype=bool), scores.threshold, is_provable)

        def put(outcomes: Outcomes) -> None:
            self._take_in(row_of, score, scores.of(outcomes), is_provable, outcomes)
            self._num_taken[rows] += counts

        return RefinementPart(candidates, put)

    def _next(self, rows: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The next candidates, ``[N, 3]`` int64, and whether each may have a proof, ``[N]`` bool."""
        triples, is_provable = [], []
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
            order, num_provable = self._order(row)
            first = int(self._num_taken[row])
            triple, side = self._at(row)
            triples.append(triples_with(triple, side, order[first : first + count].astype(np.int64))[1:])
            is_provable.append(np.arange(first, first + count) < num_provable)
        return np.concatenate(triples), np.concatenate(is_provable)

    def _take_in(
        self,
        row_of: np.ndarray,
        score: np.ndarray,
        scores: np.ndarray,
        is_provable: np.ndarray,
        outcomes: Outcomes,
    ) -> None:
        """Counts the outcomes of corruptions.

        Args:
            row_of: their rankings, ``[N]`` int64.
            score: of their positives, ``[N]`` float64.
            scores: their own, ``[N]`` float64.
            is_provable: which may be proved, ``[N]`` bool.
            outcomes: ``[N]``.
        """
        table = self._table

        def per_row(values: np.ndarray) -> np.ndarray:
            return np.bincount(row_of, values, minlength=len(table))

        def num_per_row(is_counted: np.ndarray) -> np.ndarray:
            return per_row(is_counted).astype(np.int64)

        is_larger, is_equal = scores > score, scores == score
        table.larger += num_per_row(is_larger)
        table.equal += num_per_row(is_equal)
        table.num_open -= num_per_row(np.ones(len(row_of)))
        table.num_proved += num_per_row(outcomes.success)
        table.num_unsure -= num_per_row(is_provable & ~outcomes.is_pruned)
        table.steps += per_row(outcomes.steps)
        kind_of = self._scores.kinds(is_provable, score, table.is_proved[row_of])
        for kind in range(NUM_KINDS):
            is_kind = kind_of == kind
            self._tried[kind] += per_row(is_kind)
            self._growth[kind] += per_row(is_kind * (is_larger + _WEIGHT_OF_TIES[self._ties] * is_equal))
            self._steps[kind] += per_row(is_kind * outcomes.steps)
        num_behind = int(np.count_nonzero(outcomes.is_pruned))
        self._counts += PruningCounts(len(row_of) - num_behind, 0, num_behind, int(outcomes.steps.sum()))


class _Look(NamedTuple):
    """Knowledge of the corruptions of a ranking once its positive is known; see
    :class:`proofrank.core.ranking.refined_scores.FirstLook`.

    Attributes:
        num_open: how many need a trajectory.
        num_larger: how many of the others score more than the positive.
        num_equal: how many of the others score as much.
        num_provable: how many may have a proof.
        digest: of the corruptions, and of which may have a proof.
    """

    num_open: int
    num_larger: int
    num_equal: int
    num_provable: int
    digest: np.uint64


def _digest(constants: np.ndarray, is_provable: np.ndarray) -> np.uint64:
    """A number that other corruptions, or other provable ones among them, hardly have."""
    digest = hashlib.blake2b(constants.tobytes(), digest_size=8)
    digest.update(np.packbits(is_provable).tobytes())
    return np.frombuffer(digest.digest(), dtype=np.uint64)[0]


def check_tolerance(tolerance: float) -> None:
    """Refuses what is no tolerance. Raises RankingError."""
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        raise RankingError(f"mrr_tolerance is {tolerance!r}; expected a number of 0 or more, such as 0.001")


def check_level(level: str, scoring: str = "proof") -> None:
    """Refuses a level of pruning with which no MRR is made certain to a tolerance.

    Args:
        level: what is asked for.
        scoring: one of ``SCORINGS``; by an embedding alone nothing is proved, and so every level will do.

    Raises:
        RankingError: it is unknown, or ``none`` where candidates are proved.
    """
    if scoring == "embedding":
        if level not in PRUNING_LEVELS:
            raise RankingError(f"pruning is {level!r}; expected one of {', '.join(PRUNING_LEVELS)}")
        return
    expected = [known for known in PRUNING_LEVELS if known != "none"]
    if level not in expected:
        raise RankingError(
            f"pruning is {level!r}; expected {' or '.join(expected)} with a tolerance of the MRR"
        )
