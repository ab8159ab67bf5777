"""The words that options take, apart from what they choose between: parsers of options need nothing else."""

from __future__ import annotations

from typing import Literal

SPLITS = ("train", "valid", "test")

Side = Literal["head", "tail"]
SIDES: tuple[Side, ...] = ("head", "tail")
SIDE_OPTIONS = ("head", "tail", "both")

PruningLevel = Literal["none", "exact", "ranks"]
PRUNING_LEVELS: tuple[PruningLevel, ...] = ("none", "exact", "ranks")

TIE_POLICIES = ("optimistic", "realistic", "pessimistic", "random")
