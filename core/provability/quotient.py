"""A smaller graph in whose model every atom of the larger one has its image.

Constants are put together into blocks, and each fact and rule speaks of blocks. A proof in the graph is then a
proof in the quotient, so an atom whose blocks are outside of the quotient's least model has no proof.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from proofrank.core.graph import Dataset, Rule, Triple

MAX_BLOCKS = 1024
"""Maximum number of blocks: a product of two relations over them is at most a billion multiplications."""


@dataclass(frozen=True)
class Quotient:
    """A graph of blocks.

    Attributes:
        block_of: the block of each constant, ``[C]`` int64, both from 0.
        num_blocks: how many blocks there are.
        facts: each between blocks, which count from 1 as constants do.
        rules: their constants are blocks.
    """

    block_of: np.ndarray
    num_blocks: int
    facts: tuple[Triple, ...]
    rules: tuple[Rule, ...]


def quotient_of(dataset: Dataset, max_blocks: int = MAX_BLOCKS) -> Quotient:
    """The quotient of ``dataset`` by what its facts say of each constant.

    At first two constants are in one block where they occur in the same places of the same predicates. Then blocks
    are divided by the blocks of their neighbours, again and again, as long as there are at most ``max_blocks``
    (colour refinement).
    """
    facts = np.array(dataset.fact_triples, dtype=np.int64).reshape(-1, 3) - np.array([0, 1, 1])
    blocks = _limited(_refined(np.zeros(dataset.vocabulary.num_constants, dtype=np.int64), facts), max_blocks)
    while True:
        finer = _refined(blocks, facts)
        if finer.max(initial=0) >= max_blocks or finer.max(initial=0) == blocks.max(initial=0):
            break
        blocks = finer
    images = np.unique(
        np.stack([facts[:, 0], blocks[facts[:, 1]] + 1, blocks[facts[:, 2]] + 1], axis=1), axis=0
    )
    return Quotient(
        blocks,
        int(blocks.max(initial=-1)) + 1,
        tuple(Triple(*row) for row in images.tolist()),
        tuple(dict.fromkeys(_image(rule, blocks) for rule in dataset.rules)),
    )


def _refined(blocks: np.ndarray, facts: np.ndarray) -> np.ndarray:
    """The blocks, divided by the set of (predicate, side, neighbour's block) of each constant; ``[C]`` from 0."""
    neighbours = np.concatenate(
        [
            np.stack([facts[:, 1], facts[:, 0] * 2, blocks[facts[:, 2]]], axis=1),
            np.stack([facts[:, 2], facts[:, 0] * 2 + 1, blocks[facts[:, 1]]], axis=1),
        ]
    )
    signs: list[list[tuple[int, int]]] = [[] for _ in blocks]
    for constant, side, block in np.unique(neighbours, axis=0).tolist():
        signs[constant].append((side, block))
    whole = [(block, tuple(sign)) for block, sign in zip(blocks.tolist(), signs, strict=True)]
    number_of = {sign: number for number, sign in enumerate(sorted(set(whole)))}
    return np.array([number_of[sign] for sign in whole], dtype=np.int64)


def _limited(blocks: np.ndarray, max_blocks: int) -> np.ndarray:
    """At most ``max_blocks`` blocks: those beyond are put together with others."""
    return blocks % max_blocks


def _image(rule: Rule, blocks: np.ndarray) -> Rule:
    """The rule with its constants' blocks."""

    def image(atom: tuple[int, int, int]) -> tuple[int, int, int]:
        first, second = (int(blocks[argument - 1]) + 1 if argument > 0 else argument for argument in atom[1:])
        return (atom[0], first, second)

    return Rule(
        rule.name, rule.weight, image(rule.head), tuple(map(image, rule.body)), rule.num_fresh_variables
    )
