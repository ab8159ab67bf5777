"""Collects examples: rolls a policy out, and finds by search which actions were right in the states that it met.

When a train triple is proved, the right actions are those that lead to a proof in the fewest steps; a state without a
proof gives no example. When a corruption is proved, giving up is right. Only train triples count as true: this module
never sees valid and test triples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from proofrank.core.graph import Dataset, Triple
from proofrank.core.prover import Candidate, ProverSettings, State
from proofrank.core.ranking import Corruptor, sides_of
from proofrank.training.batches import Example
from proofrank.training.options import TrainingOptions
from proofrank.training.rollout import Choosing, LogitsOf, roll_out
from proofrank.training.search import ProofSearch, SearchBudgetExceeded
from proofrank.training.state import Examples


def without_held_out(dataset: Dataset) -> Dataset:
    """Returns ``dataset`` as training may see it: without its valid and test triples."""
    return dataclasses.replace(dataset, splits={"train": dataset.splits["train"], "valid": (), "test": ()})


class ExampleCollector:
    """Collects examples round after round; a choice that occurs again is not searched again.

    Attributes:
        examples: of all rounds so far, by the choice.
    """

    def __init__(self, dataset: Dataset, settings: ProverSettings, options: TrainingOptions) -> None:
        """Makes a collector without examples.

        Args:
            dataset: dataset whose train triples are proved.
            settings: settings of the prover.
            options: options of the training.
        """
        self._dataset = without_held_out(dataset)
        self._options = options
        self._search = ProofSearch(self._dataset, settings, budget=options.search_budget)
        # The state after giving up; without such an action, corruptions teach nothing.
        self._endf_state: State = self._search.prover.endf_state
        self.examples: Examples = {}

    def collect(
        self,
        logits_of: LogitsOf,
        round_index: int,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Example]:
        """Rolls a policy out and adds the examples that result.

        Args:
            logits_of: the policy.
            round_index: seed of the choice of triples and corruptions; in round 0 the policy is untrained.
            on_progress: called with the number of candidates done, and of all.

        Returns:
            The examples of this and all earlier rounds.
        """
        candidates = list(self._candidates(round_index))
        first_variable = self._dataset.vocabulary.first_variable_index
        rolled = roll_out(
            self._search.prover,
            first_variable,
            candidates,
            logits_of,
            # An untrained policy reaches states that no trained one will; only the start of its trajectories is useful.
            most_choices=1 if round_index == 0 else self._options.most_choices,
        )
        for done, trajectory in enumerate(rolled, start=1):
            self._add(trajectory.choices)
            if on_progress is not None:
                on_progress(done, len(candidates))
        return [example for example in self.examples.values() if example is not None]

    def _candidates(self, round_index: int) -> Iterator[Candidate]:
        """Yields train triples that have a rule, each with its corruptions."""
        options = self._options
        rules = self._dataset.rules_by_predicate
        triples = [triple for triple in self._dataset.splits["train"] if triple.predicate in rules]
        if options.most_queries is not None and options.most_queries < len(triples):
            generator = np.random.default_rng([options.seed, round_index])
            chosen = np.sort(generator.choice(len(triples), options.most_queries, replace=False))
            triples = [triples[index] for index in chosen]
        corruptor = Corruptor(
            self._dataset, number=options.corruptions, seed=options.seed * 1000 + round_index
        )
        for triple in triples:
            yield Candidate(triple, is_positive=True)
            for side in sides_of(options.sides) if options.corruptions else ():
                yield from (
                    Candidate(other, is_positive=False) for other in self._corrupt(corruptor, triple, side)
                )

    def _corrupt(self, corruptor: Corruptor, triple: Triple, side: str) -> list[Triple]:
        return corruptor.corruptions(triple, "head" if side == "head" else "tail")

    def _add(self, choices: Iterable[Choosing]) -> None:
        for choice in choices:
            key = (choice.excluded, (choice.state, *choice.actions))
            if key not in self.examples:
                self.examples[key] = self._example(choice)

    def _example(self, choice: Choosing) -> Example | None:
        """Makes an example of the choice; None if it teaches nothing."""
        if choice.candidate.is_positive:
            targets, weight = self._proving(choice), 1.0
        else:
            targets, weight = self._giving_up(choice), self._options.corruption_weight
        # If every action is right, there is nothing to learn.
        if not 0 < len(targets) < len(choice.actions) or weight == 0:
            return None
        return Example(choice.state, choice.actions, targets, weight)

    def _proving(self, choice: Choosing) -> tuple[int, ...]:
        try:
            found = self._search.targets(choice.actions, choice.excluded, self._options.search_limit)
        except SearchBudgetExceeded:
            return ()
        return found.actions if found is not None else ()

    def _giving_up(self, choice: Choosing) -> tuple[int, ...]:
        last = len(choice.actions) - 1
        return (last,) if choice.actions[last] == self._endf_state else ()
