"""Candidates to try an evaluator with: seeded, from the graph's own triples."""

from __future__ import annotations

import random
from collections.abc import Sequence

from proofrank.core.graph import Dataset
from proofrank.core.prover import Candidate

_NUM_TRIPLES = 32
_CORRUPTIONS_OF_EACH = 7


def sample_candidates(dataset: Dataset) -> list[Candidate]:
    """Seeded triples of the graph, each with corruptions: any constant in the place of its head or tail.

    Of all constants alike, as evaluations have them: those of many facts ask for more.
    """
    generator = random.Random(0)  # noqa: S311 - not for secrets
    triples = list(dataset.splits["valid"] or dataset.splits["train"])
    ruled = sorted(dataset.rules_by_predicate)
    if ruled and not {triple.predicate for triple in triples} & set(ruled):
        # Facts that no rule speaks of ask for nothing: their names are asked for what rules do speak of.
        triples = [triple._replace(predicate=generator.choice(ruled)) for triple in triples]
    candidates: list[Candidate] = []
    for triple in generator.sample(triples, min(_NUM_TRIPLES, len(triples))):
        candidates.append(Candidate(triple, is_positive=True))
        for number in range(_CORRUPTIONS_OF_EACH):
            constant = generator.randint(1, dataset.vocabulary.num_constants)
            corrupted = triple._replace(head=constant) if number % 2 else triple._replace(tail=constant)
            candidates.append(Candidate(corrupted, is_positive=False))
    return candidates


def repeated(sample: Sequence[Candidate], number: int) -> list[Candidate]:
    """``number`` candidates of ``sample``, over and over."""
    return [sample[index % len(sample)] for index in range(number)]
