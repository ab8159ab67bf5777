"""Defects that cost an evaluator its MRR, each of which can be switched on alone.

``docs/research/lost-mrr.md`` gives their costs.

A defect is one error in one of four places: the vectorised evaluator (one of its functions is replaced while the
evaluator is made and run), the prover's settings, the scores made from the outcomes, or the ranking of equal scores.
Everything else is correct.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional

from proofrank.core.evaluator import CompiledEvaluator
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, PolicyNetwork
from proofrank.core.policy.features import RowFeatures
from proofrank.core.prover import FAILURE_PENALTY, Candidate, Outcome, ProverSettings, environment
from proofrank.core.prover.environment import EvalObs, EvalOnlyEnvCompiled
from proofrank.core.prover.lanes import NO_FACT, CandidatePool, LaneState
from proofrank.core.prover.packing import first_of, pack, pack_atom, predicate_of, second_of
from proofrank.core.prover.rows import Admission
from proofrank.core.prover.settings import TIE_TOLERANCE
from proofrank.core.prover.steps import FactCheck, Selection, Visits
from proofrank.core.prover.vectorized import Matches, Resolvents, UnificationEngineVectorized
from proofrank.core.ranking import Query, rank_positive
from proofrank.core.ranking.corruptions import query_seed

Switch = Callable[[Dataset, ProverSettings], AbstractContextManager[object]]
"""A function that breaks the vectorised evaluator while the context lasts."""

OutcomesOfQueries = Sequence[Sequence[Outcome]]
"""``[Q]`` lists of ``[C]`` outcomes, the positive's first."""

Scores = list[list[float]]
"""``[Q]`` lists of ``[C]`` scores, the positive's first."""


def _nothing(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return nullcontext()


def right_scores(outcomes: OutcomesOfQueries, settings: ProverSettings) -> Scores:
    """Returns the correct scores."""
    return [[outcome.score for outcome in own] for own in outcomes]


@dataclass(frozen=True)
class Defect:
    """One error.

    Attributes:
        name: short name, for tests and command lines.
        group: heading in the table.
        what: description of the error in the table.
        switch: breaks the evaluator.
        settings: makes the wrong settings from the right ones.
        scores: makes the scores from the outcomes.
        ties: rank that counts among equal scores.
    """

    name: str
    group: str
    what: str
    switch: Switch = _nothing
    settings: Callable[[ProverSettings], ProverSettings] = lambda settings: settings
    scores: Callable[[OutcomesOfQueries, ProverSettings], Scores] = right_scores
    ties: str = "realistic"

    @property
    def is_in_evaluator(self) -> bool:
        """Whether the outcomes are wrong, rather than what is made of them."""
        return self.scores is right_scores and self.ties == "realistic"

    def evaluate(
        self,
        dataset: Dataset,
        policy: Policy,
        settings: ProverSettings,
        candidates: Sequence[Candidate],
        num_lanes: int = 512,
    ) -> list[Outcome]:
        """Returns the outcomes of ``candidates`` by the vectorised evaluator with this defect."""
        wrong_settings = self.settings(settings)
        with self.switch(dataset, wrong_settings):
            evaluator = CompiledEvaluator(
                dataset, policy, wrong_settings, EvaluatorOptions(buckets=(num_lanes,))
            )
            return list(evaluator.evaluate(candidates))

    def mrr(self, queries: Sequence[Query], outcomes: OutcomesOfQueries, settings: ProverSettings) -> float:
        """Returns the MRR that is reported for these outcomes with this defect."""
        scores = self.scores(outcomes, settings)
        ranks = [
            rank_positive(own, query_seed(0, query.triple, query.side)).by(self.ties)
            for query, own in zip(queries, scores, strict=True)
        ]
        return sum(1 / rank for rank in ranks) / len(ranks)


def together(name: str, group: str, what: str, defects: Iterable[Defect]) -> Defect:
    """Makes a defect of several defects of the evaluator at once."""
    parts = tuple(defects)

    @contextmanager
    def switch(dataset: Dataset, settings: ProverSettings) -> Iterator[None]:
        with ExitStack() as stack:
            for part in parts:
                stack.enter_context(part.switch(dataset, settings))
            yield

    def wrong_settings(settings: ProverSettings) -> ProverSettings:
        for part in parts:
            settings = part.settings(settings)
        return settings

    return Defect(name, group, what, switch, wrong_settings)


NONE = Defect("none", "", "no defect")
DEFECTS: dict[str, Defect] = {}


def _add(defect: Defect) -> Defect:
    DEFECTS[defect.name] = defect
    return defect


def _switched(name: str, group: str, what: str) -> Callable[[Switch], Switch]:
    """Registers the decorated switch as a defect of the evaluator."""

    def register(switch: Switch) -> Switch:
        _add(Defect(name, group, what, switch))
        return switch

    return register


def _scored(
    name: str, group: str, what: str
) -> Callable[[Callable[[OutcomesOfQueries, ProverSettings], Scores]], None]:
    """Registers the decorated function as a defect of the scores."""

    def register(scores: Callable[[OutcomesOfQueries, ProverSettings], Scores]) -> None:
        _add(Defect(name, group, what, scores=scores))

    return register


def _setting(name: str, group: str, what: str, **changes: Any) -> None:
    """Registers changes of the settings; a number is added to the value, anything else replaces it."""

    def changed(settings: ProverSettings) -> ProverSettings:
        values = {
            field: value if isinstance(value, bool) else getattr(settings, field) + value
            for field, value in changes.items()
        }
        return dataclasses.replace(settings, **values)

    _add(Defect(name, group, what, settings=changed))


TIES = "Near ties and precision"


def _selecting(choose: Callable[[Tensor, Tensor], Tensor]) -> AbstractContextManager[object]:
    """Replaces the choice: ``choose`` takes logits ``[B, S]`` and the right choice ``[B]``."""
    original = EvalOnlyEnvCompiled._select

    def select(logits: Tensor) -> Selection:
        selection = original(logits)
        return selection._replace(chosen=choose(logits, selection.chosen))

    return patch.object(EvalOnlyEnvCompiled, "_select", staticmethod(select))


def _argmax() -> AbstractContextManager[object]:
    return _selecting(lambda logits, chosen: logits.argmax(dim=1))


def _products_of(rounded: Callable[[Tensor], Tensor]) -> AbstractContextManager[object]:
    """Rounds the factors of every matrix product, including that of the logits; sums stay float32."""

    def transform(self: RowFeatures, embedded: Tensor) -> Tensor:
        def linear(layer: torch.nn.Module, rows: Tensor) -> Tensor:
            assert isinstance(layer, torch.nn.Linear)
            return functional.linear(rounded(rows), rounded(layer.weight), layer.bias)

        network = self.network
        hidden = network.body_norm(functional.relu(linear(network.body_input, embedded)))
        for block in network.body_blocks:
            hidden = hidden + block.norm(functional.relu(linear(block.linear, hidden)))  # type: ignore[operator]
        vectors = linear(network.head_output, functional.relu(linear(network.head_hidden, hidden)))
        return rounded(functional.normalize(vectors, dim=-1) if self.config.l2_norm else vectors)

    return patch.object(RowFeatures, "transform", transform)


def to_tf32(values: Tensor) -> Tensor:
    """Rounds float32 values to the 10 bits of mantissa of TF32, ties to even."""
    bits = values.contiguous().view(torch.int32)
    bits = bits + 0x0FFF + ((bits >> 13) & 1)
    return (bits & ~0x1FFF).view(torch.float32)


def to_bfloat16(values: Tensor) -> Tensor:
    """Rounds float32 values to the 7 bits of mantissa of bfloat16."""
    return values.bfloat16().float()


@contextmanager
def _both(*switches: AbstractContextManager[object]) -> Iterator[None]:
    with ExitStack() as stack:
        for switch in switches:
            stack.enter_context(switch)
        yield


@_switched("argmax", TIES, "plain argmax in float32")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _argmax()


@_switched("argmax-other-sum", TIES, "plain argmax in float32, atoms summed in another order")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    embed = RowFeatures.embed
    return _both(
        _argmax(),
        patch.object(RowFeatures, "embed", lambda self, states: embed(self, states.flip(dims=(1,)))),
    )


@_switched("argmax-tf32", TIES, "plain argmax, TF32 products (emulated)")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _both(_argmax(), _products_of(to_tf32))


@_switched("argmax-bfloat16", TIES, "plain argmax, bfloat16 products")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _both(_argmax(), _products_of(to_bfloat16))


@_switched("tf32", TIES, "TF32 products (emulated), ties by tolerance")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _products_of(to_tf32)


@_switched("bfloat16", TIES, "bfloat16 products, ties by tolerance")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _products_of(to_bfloat16)


@_switched("last-of-the-best", TIES, "the last of the tied actions, always")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    def last(logits: Tensor, chosen: Tensor) -> Tensor:
        largest = logits.amax(dim=1, keepdim=True)
        is_best = logits >= largest - TIE_TOLERANCE * (1.0 + largest.abs())
        column = torch.arange(logits.shape[1], device=logits.device)
        return torch.where(is_best, column, 0).amax(dim=1)

    return _selecting(last)


@_switched("sampled", TIES, "actions sampled, not the best taken")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    generator = torch.Generator().manual_seed(0)

    def sample(logits: Tensor, chosen: Tensor) -> Tensor:
        return torch.multinomial(logits.softmax(dim=1), 1, generator=generator).squeeze(1)

    return _selecting(sample)


FACTS = "Facts and known atoms"


def _facts_capped_at(cap: Callable[[Matches], Tensor]) -> AbstractContextManager[object]:
    original = UnificationEngineVectorized.matches

    def matches(self: UnificationEngineVectorized, goals: Tensor) -> Matches:
        found = original(self, goals)
        return found._replace(num_facts=torch.minimum(found.num_facts, cap(found)))

    return patch.object(UnificationEngineVectorized, "matches", matches)


def _add_cap(number: int) -> None:
    _add(
        Defect(
            f"facts-{number}",
            FACTS,
            f"at most {number} facts matched to a goal",
            lambda dataset, settings: _facts_capped_at(
                lambda found: torch.full_like(found.num_facts, number)
            ),
        )
    )


for _number in (3, 10, 20, 50, 120):
    _add_cap(_number)


@_switched(
    "actions-capped-early", FACTS, "rules and facts cut to `padding_states` before the search for a proof"
)
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _facts_capped_at(lambda found: (settings.padding_states - found.num_rules).clamp(min=0))


def _proofs_as_actions(
    dataset: Dataset, is_missed: Callable[[Tensor, Matches], Tensor], *, is_checked: bool
) -> AbstractContextManager[object]:
    """Makes an immediate proof that ``is_missed`` (of choice and matches) the action ``[True]`` among the others."""
    true_atom = pack_atom(dataset.vocabulary.true_index, 0, 0)
    resolve, step = UnificationEngineVectorized.resolve, EvalOnlyEnvCompiled.step_functional
    check = EvalOnlyEnvCompiled._check_facts

    def resolve_with_true(
        self: UnificationEngineVectorized,
        choice: Tensor,
        atoms: Tensor,
        next_variable: Tensor,
        excluded: Tensor,
        matches: Matches,
        is_row: Tensor,
        *,
        is_trimming: bool,
    ) -> Resolvents:
        found = resolve(
            self, choice, atoms, next_variable, excluded, matches, is_row, is_trimming=is_trimming
        )
        is_proof = found.is_valid & (found.num_atoms == 0) & is_missed(choice, matches)
        states = found.atoms.clone()
        states[:, 0] = torch.where(is_proof, true_atom, states[:, 0])
        return found._replace(atoms=states, num_atoms=found.num_atoms + is_proof)

    def no_check(
        self: EvalOnlyEnvCompiled,
        lanes: LaneState,
        is_running: Tensor,
        matches: Matches,
        first_lane: Tensor,
    ) -> FactCheck:
        no = torch.zeros_like(is_running)
        return FactCheck(lanes.num_checked, no, no, torch.zeros_like(first_lane))

    def step_to_true(self: EvalOnlyEnvCompiled, *arguments: Any) -> tuple[LaneState, Tensor, Tensor]:
        lanes, is_ended, success = step(self, *arguments)
        is_true = lanes.is_busy & (lanes.atoms[:, 0] == true_atom)
        return lanes, is_ended | is_true, success | is_true

    return _both(
        patch.object(UnificationEngineVectorized, "resolve", resolve_with_true),
        patch.object(EvalOnlyEnvCompiled, "_check_facts", check if is_checked else no_check),
        patch.object(EvalOnlyEnvCompiled, "step_functional", step_to_true),
    )


@_switched("proof-not-preferred", FACTS, "an immediate proof is one action among others")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _proofs_as_actions(dataset, lambda choice, matches: choice >= 0, is_checked=False)


@_switched("proof-by-rule-not-preferred", FACTS, "the same for proofs by a rule whose whole body is known")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _proofs_as_actions(dataset, lambda choice, matches: choice < matches.num_rules, is_checked=True)


@_switched("proof-by-fact-not-preferred", FACTS, "the same for proofs by a fact")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _proofs_as_actions(dataset, lambda choice, matches: choice >= matches.num_rules, is_checked=False)


@_switched("known-atoms-kept", FACTS, "known atoms stay, unless all of a state are known")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    compact = UnificationEngineVectorized._compact

    def keep(
        self: UnificationEngineVectorized, atoms: Tensor, is_kept: Tensor, *, is_trimming: bool
    ) -> tuple[Tensor, Tensor]:
        is_kept = torch.where(is_kept.any(dim=1, keepdim=True), atoms != 0, is_kept)
        return compact(self, atoms, is_kept, is_trimming=is_trimming)

    return patch.object(UnificationEngineVectorized, "_compact", keep)


def _excluding(excluded: Callable[[Sequence[Candidate]], Sequence[int]]) -> AbstractContextManager[object]:
    """Replaces the facts that candidates must not use; ``NO_FACT`` for none."""
    original = CompiledEvaluator.submit

    def submit(
        self: CompiledEvaluator,
        candidates: Sequence[Candidate],
        recorded_actions: Sequence[Sequence[int]] | None = None,
    ) -> list[int]:
        places = original(self, candidates, recorded_actions)
        if places:
            self._input_buffer.excluded[torch.tensor(places)] = torch.tensor(excluded(candidates))
        return places

    return patch.object(CompiledEvaluator, "submit", submit)


@_switched("nothing-excluded", FACTS, "a positive may use itself as a fact (train split)")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _excluding(lambda candidates: [NO_FACT] * len(candidates))


@_switched("excluded-for-all", FACTS, "corruptions may not use the positive either (train split)")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    def positives(candidates: Sequence[Candidate]) -> list[int]:
        excluded: list[int] = []
        for candidate in candidates:
            excluded.append(pack_atom(*candidate.triple) if candidate.is_positive else excluded[-1])
        return excluded

    return _excluding(positives)


ORDER = "Order and number of actions"


def _choosing(choice: Callable[[Tensor, Tensor, Tensor], Tensor], settings: ProverSettings) -> Any:
    """Renumbers a lane's choices: ``choice`` takes place, number of rules and of facts that become rows."""
    original = UnificationEngineVectorized.resolve

    def resolve(
        self: UnificationEngineVectorized,
        place: Tensor,
        atoms: Tensor,
        next_variable: Tensor,
        excluded: Tensor,
        matches: Matches,
        is_row: Tensor,
        *,
        is_trimming: bool,
    ) -> Resolvents:
        num_facts = matches.num_facts.clamp(max=settings.padding_states + 1)
        place = choice(place, matches.num_rules, num_facts)
        return original(self, place, atoms, next_variable, excluded, matches, is_row, is_trimming=is_trimming)

    return patch.object(UnificationEngineVectorized, "resolve", resolve)


@_switched("facts-first", ORDER, "facts before rules")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _choosing(
        lambda place, num_rules, num_facts: torch.where(
            place < num_facts, num_rules + place, place - num_facts
        ),
        settings,
    )


@_switched("facts-unsorted", ORDER, "facts in another order (descending)")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _choosing(
        lambda place, num_rules, num_facts: torch.where(
            place < num_rules, place, 2 * num_rules + num_facts - 1 - place
        ),
        settings,
    )


@_switched("rules-unsorted", ORDER, "rules in another order (descending)")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _choosing(
        lambda place, num_rules, num_facts: torch.where(place < num_rules, num_rules - 1 - place, place),
        settings,
    )


_setting("actions-20", ORDER, "`padding_states` 20 in place of 120", padding_states=-100)
_setting("actions-50", ORDER, "`padding_states` 50 in place of 120", padding_states=-70)
_setting("actions-119", ORDER, "`padding_states` one too few", padding_states=-1)
_setting("no-endf", ORDER, "no `Endf`", end_proof_action=False)


@_switched("endf-first", ORDER, "`Endf` first, so that it wins ties")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    def first(logits: Tensor, chosen: Tensor) -> Tensor:
        largest = logits.amax(dim=1)
        last = (logits != -torch.inf).sum(dim=1) - 1
        of_endf = logits.gather(1, last.unsqueeze(1)).squeeze(1)
        return torch.where(of_endf >= largest - TIE_TOLERANCE * (1.0 + largest.abs()), last, chosen)

    return _selecting(first) if settings.end_proof_action else nullcontext()


VISITED = "Visited check"

_setting("visited-off", VISITED, "no visited check", memory_pruning=False)


def _comparing(
    hash_of: Callable[[Tensor], Tensor], is_same: Callable[[Tensor, Tensor], Tensor]
) -> AbstractContextManager[object]:
    return _both(
        patch.object(environment, "set_hash", hash_of), patch.object(environment, "same_set", is_same)
    )


@_switched("visited-lists", VISITED, "states compared as lists, not as sets")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    right_hash = environment.set_hash
    return _comparing(
        # The hash only finds candidates for the comparison.
        lambda atoms: right_hash(atoms + torch.arange(atoms.shape[-1]) * (atoms != 0)),
        lambda left, right: (left == right).all(dim=-1),
    )


def renumbered(atoms: Tensor, num_constants: int) -> Tensor:
    """Returns states ``[..., W]`` with their variables renumbered in order of first appearance."""
    arguments = torch.stack([first_of(atoms), second_of(atoms)], dim=-1).flatten(start_dim=-2)
    is_variable = arguments > num_constants
    width = arguments.shape[-1]
    is_equal = arguments.unsqueeze(-1) == arguments.unsqueeze(-2)
    earliest = is_equal.int().argmax(dim=-1)  # the place where each argument appears first
    place = torch.arange(width, device=atoms.device)
    is_new = is_variable & (earliest == place)
    number = torch.cumsum(is_new, dim=-1).gather(-1, earliest)
    arguments = torch.where(is_variable, num_constants + number, arguments).unflatten(-1, (-1, 2))
    return pack(predicate_of(atoms), arguments[..., 0], arguments[..., 1])


@_switched("visited-renumbered", VISITED, "states compared up to the numbers of variables")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    num_constants = dataset.vocabulary.num_constants
    right_hash, right_same = environment.set_hash, environment.same_set
    return _comparing(
        lambda atoms: right_hash(renumbered(atoms, num_constants)),
        lambda left, right: right_same(renumbered(left, num_constants), renumbered(right, num_constants)),
    )


def _hashes_of(bits: int) -> AbstractContextManager[object]:
    """Makes the visited check use only hashes of ``bits`` bits."""
    right_hash = environment.set_hash

    def visited(lanes: LaneState, lane: Tensor, atoms: Tensor, row_hash: Tensor) -> Visits:
        mask = (1 << bits) - 1
        row_hash = row_hash & mask
        slots = torch.arange(lanes.visited_hash.shape[1])
        is_slot = slots < lanes.num_visited[lane].unsqueeze(1)
        is_match = (lanes.visited_hash[lane] & mask == row_hash.unsqueeze(1)) & is_slot
        is_observed = right_hash(lanes.observed)[lane] & mask == row_hash
        return Visits(is_match.any(dim=1), is_observed, torch.zeros_like(is_observed))

    return patch.object(EvalOnlyEnvCompiled, "_visited", staticmethod(visited))


@_switched("visited-8-bits", VISITED, "hashes of 8 bits, not compared")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _hashes_of(8)


@_switched("visited-4-bits", VISITED, "hashes of 4 bits, not compared")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _hashes_of(4)


@_switched("visited-stale", VISITED, "visited states of the lane's earlier candidates not cleared")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    right = EvalOnlyEnvCompiled._visited

    def visited(self: EvalOnlyEnvCompiled, lanes: LaneState, *rows: Tensor) -> Visits:
        every = torch.full_like(lanes.num_visited, lanes.visited_hash.shape[1])
        return right(self, lanes._replace(num_visited=every), *rows)

    return patch.object(EvalOnlyEnvCompiled, "_visited", visited)


VARIABLES = "Variables and sizes"


@_switched("variables-reused", VARIABLES, "fresh variables always take the first number")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    def none(self: EvalOnlyEnvCompiled, num_fresh: Tensor, is_valid: Tensor, admission: Admission) -> Tensor:
        return torch.zeros_like(admission.begin)

    return patch.object(EvalOnlyEnvCompiled, "_most_fresh", none)


@_switched("variables-renumbered", VARIABLES, "variables numbered anew after each step")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    num_constants = dataset.vocabulary.num_constants
    original = UnificationEngineVectorized.resolve

    def resolve(
        self: UnificationEngineVectorized,
        choice: Tensor,
        atoms: Tensor,
        next_variable: Tensor,
        *others: Any,
        is_trimming: bool,
    ) -> Resolvents:
        above = torch.full_like(next_variable, num_constants + 1 + 2 * atoms.shape[1])
        found = original(self, choice, atoms, above, *others, is_trimming=is_trimming)
        return found._replace(atoms=renumbered(found.atoms, num_constants))

    return patch.object(UnificationEngineVectorized, "resolve", resolve)


@_switched("variables-per-sibling", VARIABLES, "siblings do not share the numbers of fresh variables")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    original, embed = UnificationEngineVectorized.resolve, RowFeatures.embed
    most_fresh = EvalOnlyEnvCompiled._most_fresh

    def resolve(
        self: UnificationEngineVectorized,
        choice: Tensor,
        atoms: Tensor,
        next_variable: Tensor,
        excluded: Tensor,
        matches: Matches,
        is_row: Tensor,
        *,
        is_trimming: bool,
    ) -> Resolvents:
        fresh = self.tables.num_fresh
        before = torch.cat([fresh.new_zeros(1), torch.cumsum(fresh, dim=0)])
        begin = before[matches.rule_offset]
        used = before[matches.rule_offset + torch.minimum(choice, matches.num_rules)] - begin
        found = original(
            self, choice, atoms, next_variable + used, excluded, matches, is_row, is_trimming=is_trimming
        )
        return found._replace(num_fresh=torch.where(found.num_fresh > 0, found.num_fresh + used, 0))

    def embed_clamped(self: RowFeatures, states: Tensor) -> Tensor:
        # More numbers are used than variables have embeddings: the last one stands for the rest.
        last = self.network.embedding.arguments.shape[0] - 1
        first, second = first_of(states).clamp(max=last), second_of(states).clamp(max=last)
        return embed(self, pack(predicate_of(states), first, second))

    def most_fresh_of_siblings(
        self: EvalOnlyEnvCompiled, num_fresh: Tensor, is_valid: Tensor, admission: Admission
    ) -> Tensor:
        # More than any rule has.
        tables = dataclasses.replace(self.engine.tables, max_fresh=int(num_fresh.max()))
        with patch.object(self.engine, "tables", tables):
            return most_fresh(self, num_fresh, is_valid, admission)

    return _both(
        patch.object(EvalOnlyEnvCompiled, "_most_fresh", most_fresh_of_siblings),
        patch.object(UnificationEngineVectorized, "resolve", resolve),
        patch.object(RowFeatures, "embed", embed_clamped),
    )


@_switched("atoms-truncated", VARIABLES, "states wider than the buffer cut to it, not dropped")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    original = UnificationEngineVectorized._compact

    def compact(
        self: UnificationEngineVectorized, atoms: Tensor, is_kept: Tensor, *, is_trimming: bool
    ) -> tuple[Tensor, Tensor]:
        compacted, number = original(self, atoms, is_kept, is_trimming=is_trimming)
        return compacted, number.clamp(max=self.working_atoms)

    return patch.object(UnificationEngineVectorized, "_compact", compact)


_setting("atoms-fewer", VARIABLES, "`padding_atoms` one too few", padding_atoms=-1)
_setting("atoms-more", VARIABLES, "`padding_atoms` one too many", padding_atoms=1)
_setting("depth-less", VARIABLES, "`max_depth` one too few", max_depth=-1)
_setting("depth-more", VARIABLES, "`max_depth` one too many", max_depth=1)
_setting("depth-1", VARIABLES, "one step in place of 20", max_depth=-19)
_setting("depth-2", VARIABLES, "2 steps in place of 20", max_depth=-18)
_setting("depth-5", VARIABLES, "5 steps in place of 20", max_depth=-15)


SCORES = "Log-probabilities and scores"


@_switched("softmax-padded", SCORES, "softmax over all slots: an empty one has logit 0")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    original = EvalOnlyEnvCompiled._select

    def select(logits: Tensor) -> Selection:
        padded = torch.where(logits == -torch.inf, 0.0, logits)
        return original(logits)._replace(log_probabilities=padded.log_softmax(dim=1))

    return patch.object(EvalOnlyEnvCompiled, "_select", staticmethod(select))


def _slot_cost(settings: ProverSettings) -> float:
    """Returns the cost of a step with one action of logit 0 beside empty slots of logit 0."""
    return float(torch.tensor(float(settings.padding_states)).log())


@_switched("single-action-padded", SCORES, "a step with one action shares its softmax with empty slots")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    step, cost = EvalOnlyEnvCompiled.step_functional, _slot_cost(settings)

    def step_padded(
        self: EvalOnlyEnvCompiled, lanes: LaneState, observation: EvalObs, *others: Any
    ) -> tuple[LaneState, Tensor, Tensor]:
        moved, is_ended, success = step(self, lanes, observation, *others)
        is_one = observation.is_single | observation.is_proved | observation.is_failed
        return moved._replace(log_probability=moved.log_probability - cost * is_one), is_ended, success

    return patch.object(EvalOnlyEnvCompiled, "step_functional", step_padded)


@_scored(
    "finished-accumulates", SCORES, "a finished lane goes on to collect log-probability until the last step"
)
def _(outcomes: OutcomesOfQueries, settings: ProverSettings) -> Scores:
    cost = _slot_cost(settings)
    return [
        [outcome.score - cost * (settings.max_depth - outcome.steps) for outcome in own] for own in outcomes
    ]


@_scored("no-penalty", SCORES, "no penalty for a failed proof")
def _(outcomes: OutcomesOfQueries, settings: ProverSettings) -> Scores:
    return [[outcome.log_probability for outcome in own] for own in outcomes]


@_scored("penalty-by-depth", SCORES, "penalty only where the depth ran out: every ended proof counts as one")
def _(outcomes: OutcomesOfQueries, settings: ProverSettings) -> Scores:
    return [
        [
            outcome.log_probability
            - FAILURE_PENALTY * (not outcome.success and outcome.steps == settings.max_depth)
            for outcome in own
        ]
        for own in outcomes
    ]


@_scored("mean-log-probability", SCORES, "mean of the log-probabilities in place of their sum")
def _(outcomes: OutcomesOfQueries, settings: ProverSettings) -> Scores:
    return [
        [
            outcome.log_probability / outcome.steps - (0.0 if outcome.success else FAILURE_PENALTY)
            for outcome in own
        ]
        for own in outcomes
    ]


@_switched("scale-lost", SCORES, "logits not divided by the square root of E")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return patch.object(RowFeatures, "logit_scale", 1.0)


BATCHES = "Batches, buffers and ranks"

BATCH = 64
"""Number of candidates of a padded batch."""


def _without_success(outcome: Outcome) -> Outcome:
    return dataclasses.replace(outcome, success=False)


def _by_batch(
    outcomes: OutcomesOfQueries, change: Callable[[list[Outcome]], list[Outcome]]
) -> list[list[Outcome]]:
    """Applies ``change`` to every ``BATCH`` candidates in order."""
    flat = [outcome for own in outcomes for outcome in own]
    changed = [
        outcome for begin in range(0, len(flat), BATCH) for outcome in change(flat[begin : begin + BATCH])
    ]
    position = iter(changed)
    return [[next(position) for _ in own] for own in outcomes]


@_scored("last-of-query-lost", BATCHES, "the last candidate of each query loses its success")
def _(outcomes: OutcomesOfQueries, settings: ProverSettings) -> Scores:
    return right_scores([[*own[:-1], _without_success(own[-1])] for own in outcomes], settings)


@_scored("last-of-batch-lost", BATCHES, f"the last of each {BATCH} candidates loses its success")
def _(outcomes: OutcomesOfQueries, settings: ProverSettings) -> Scores:
    changed = _by_batch(outcomes, lambda batch: [*batch[:-1], _without_success(batch[-1])])
    return right_scores(changed, settings)


@_scored("positive-lost", BATCHES, "the same with the positive in the last place of each query")
def _(outcomes: OutcomesOfQueries, settings: ProverSettings) -> Scores:
    return right_scores([[_without_success(own[0]), *own[1:]] for own in outcomes], settings)


@_scored("remainder-zero", BATCHES, f"candidates beyond the last whole batch of {BATCH} get score 0")
def _(outcomes: OutcomesOfQueries, settings: ProverSettings) -> Scores:
    num_whole = sum(len(own) for own in outcomes) // BATCH * BATCH
    scores, position = right_scores(outcomes, settings), 0
    for own in scores:
        for index in range(len(own)):
            if position >= num_whole:
                own[index] = 0.0
            position += 1
    return scores


@_scored(
    "padding-ranked",
    BATCHES,
    f"empty slots up to {BATCH} a query are ranked with score -{FAILURE_PENALTY:.0f}",
)
def _(outcomes: OutcomesOfQueries, settings: ProverSettings) -> Scores:
    return [[*own, *[-FAILURE_PENALTY] * (-len(own) % BATCH)] for own in right_scores(outcomes, settings)]


@_scored("padding-ranked-zero", BATCHES, f"empty slots up to {BATCH} a query are ranked with score 0")
def _(outcomes: OutcomesOfQueries, settings: ProverSettings) -> Scores:
    return [[*own, *[0.0] * (-len(own) % BATCH)] for own in right_scores(outcomes, settings)]


@_scored("stale-outputs", BATCHES, "every second query is given the buffers of the one before")
def _(outcomes: OutcomesOfQueries, settings: ProverSettings) -> Scores:
    scores = right_scores(outcomes, settings)
    for index in range(1, len(scores), 2):
        scores[index] = [
            scores[index - 1][place % len(scores[index - 1])] for place in range(len(scores[index]))
        ]
    return scores


@_scored("stale-success", BATCHES, "a query's successes are those of the query before")
def _(outcomes: OutcomesOfQueries, settings: ProverSettings) -> Scores:
    changed: list[list[Outcome]] = []
    for own, before in zip(outcomes, [outcomes[0], *outcomes[:-1]], strict=True):
        changed.append(
            [
                dataclasses.replace(outcome, success=before[place % len(before)].success)
                for place, outcome in enumerate(own)
            ]
        )
    return right_scores(changed, settings)


@_switched("lane-not-reset", BATCHES, "a lane's log-probability is not reset for its next candidate")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    refill = EvalOnlyEnvCompiled.refill

    def refill_stale(
        self: EvalOnlyEnvCompiled, lanes: LaneState, pool: CandidatePool
    ) -> tuple[LaneState, Tensor]:
        filled, head = refill(self, lanes, pool)
        return filled._replace(log_probability=lanes.log_probability), head

    return patch.object(EvalOnlyEnvCompiled, "refill", refill_stale)


_add(Defect("ties-pessimistic", BATCHES, "equal scores ranked pessimistically", ties="pessimistic"))
_add(Defect("ties-optimistic", BATCHES, "equal scores ranked optimistically", ties="optimistic"))


@_scored("results-shifted", BATCHES, "each result is written one place further")
def _(outcomes: OutcomesOfQueries, settings: ProverSettings) -> Scores:
    flat = [score for own in right_scores(outcomes, settings) for score in own]
    position = iter([flat[-1], *flat[:-1]])
    return [[next(position) for _ in own] for own in outcomes]


WEIGHTS = "The policy's inputs and weights"


@_switched("state-stale", WEIGHTS, "the policy sees the query's vector at every step, not the state's")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    step = EvalOnlyEnvCompiled.step_functional

    def step_stale(
        self: EvalOnlyEnvCompiled, lanes: LaneState, observation: EvalObs, features: Tensor, *others: Any
    ) -> tuple[LaneState, Tensor, Tensor]:
        moved, is_ended, success = step(self, lanes, observation, features, *others)
        needs = observation.needs_feature
        own = features[torch.where(needs, observation.self_place, 0)]
        feature = torch.where(needs.unsqueeze(1), own, lanes.feature)
        return (
            moved._replace(feature=feature, has_feature=lanes.has_feature | needs),
            is_ended,
            success,
        )

    return patch.object(EvalOnlyEnvCompiled, "step_functional", step_stale)


def _embedding(
    changed: Callable[[RowFeatures, Tensor, Tensor, Tensor], Tensor],
) -> AbstractContextManager[object]:
    """Replaces the embedding: ``changed`` takes network, predicates, first and second arguments."""
    embed = RowFeatures.embed

    def embed_changed(self: RowFeatures, states: Tensor) -> Tensor:
        return embed(self, changed(self, predicate_of(states), first_of(states), second_of(states)))

    return patch.object(RowFeatures, "embed", embed_changed)


def _next_row(index: Tensor, table: Tensor) -> Tensor:
    return torch.where(index == 0, 0, (index + 1).clamp(max=table.shape[0] - 1))


@_switched("arguments-shifted", WEIGHTS, "embeddings of constants and variables shifted by one row")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    def shifted(features: RowFeatures, predicate: Tensor, first: Tensor, second: Tensor) -> Tensor:
        table = features.network.embedding.arguments
        return pack(predicate, _next_row(first, table), _next_row(second, table))

    return _embedding(shifted)


@_switched("predicates-shifted", WEIGHTS, "embeddings of predicates shifted by one row")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _embedding(
        lambda features, predicate, first, second: pack(
            _next_row(predicate, features.network.embedding.predicates), first, second
        )
    )


@_switched("arguments-swapped", WEIGHTS, "first and second argument swapped")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _embedding(lambda features, predicate, first, second: pack(predicate, second, first))


@_switched(
    "padding-embedded", WEIGHTS, "padding atoms are embedded as if they were constant 1 twice, predicate 1"
)
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    return _embedding(
        lambda features, predicate, first, second: pack(
            predicate.clamp(min=1), first.clamp(min=1), second.clamp(min=1)
        )
    )


@_switched("mean-for-sum", WEIGHTS, "states pooled by the mean over their places, not by the sum")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    embed = RowFeatures.embed
    return patch.object(
        RowFeatures, "embed", lambda self, states: embed(self, states) / settings.padding_atoms
    )


@_switched("norm-lost", WEIGHTS, "the first layer norm is left out")
def _(dataset: Dataset, settings: ProverSettings) -> AbstractContextManager[object]:
    load = RowFeatures.load

    def load_without(self: RowFeatures, network: PolicyNetwork) -> None:
        load(self, network)
        self.network.body_norm.forward = lambda input: input

    return patch.object(RowFeatures, "load", load_without)


def _random_weights(seed: int) -> AbstractContextManager[object]:
    load = RowFeatures.load

    def load_random(self: RowFeatures, network: PolicyNetwork) -> None:
        generator = torch.Generator().manual_seed(seed)
        random = {
            name: torch.randn(tensor.shape, generator=generator) * tensor.shape[1] ** -0.5
            for name, tensor in network.state_dict().items()
            if tensor.dim() == 2
        }
        for name in ("embedding.predicates", "embedding.arguments"):
            random[name][0] = 0
        load(self, network)
        self.network.load_state_dict(random, strict=False)
        load(self, self.network)

    return patch.object(RowFeatures, "load", load_random)


def _add_random_weights(seed: int) -> None:
    _add(
        Defect(
            f"weights-not-loaded-{seed}",
            WEIGHTS,
            f"random weights {seed}: the checkpoint never arrives in the compiled buffers",
            lambda dataset, settings: _random_weights(seed),
        )
    )


for _number in range(3):
    _add_random_weights(_number)


TOGETHER = "Together"

SEED_SUSPECTS = (
    "argmax-tf32",
    "facts-50",
    "facts-first",
    "visited-renumbered",
    "variables-renumbered",
    "softmax-padded",
)

_add(
    together(
        "suspects",
        TOGETHER,
        "all at once: " + ", ".join(f"`{name}`" for name in SEED_SUSPECTS),
        [DEFECTS[name] for name in SEED_SUSPECTS],
    )
)
