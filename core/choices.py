"""The words that options take, apart from what they choose between: parsers of options need nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

SPLITS = ("train", "valid", "test")

Side = Literal["head", "tail"]
SIDES: tuple[Side, ...] = ("head", "tail")
SIDE_OPTIONS = ("head", "tail", "both")

PruningLevel = Literal["none", "exact", "ranks"]
PRUNING_LEVELS: tuple[PruningLevel, ...] = ("none", "exact", "ranks")

ScoringKind = Literal["proof", "embedding", "hybrid"]
SCORINGS: tuple[ScoringKind, ...] = ("proof", "embedding", "hybrid")


def unused_pruning(level: str | None, scoring: str) -> str | None:
    """What to say of a level of pruning that was asked for and has no use with a scoring; None where it has one."""
    if scoring != "embedding" or level in (None, "none"):
        return None
    return f"nothing is proved with scoring 'embedding', so pruning {level!r} leaves nothing out"


MOST_WEIGHT = 1e6
"""Maximum size of a weight, bonus or penalty of hybrid scores; larger ones would leave nothing of the other parts."""

WeightsFrom = Literal["given", "policy", "server", "default"]

BeamScore = Literal["max", "logsumexp", "noisy-or"]
BEAM_SCORES: tuple[BeamScore, ...] = ("max", "logsumexp", "noisy-or")

MOST_TRAJECTORIES = 64
"""Maximum number of trajectories of a candidate: the width of a beam."""

MOST_SAMPLES = 1_000_000
"""Maximum number of sampled trajectories of a candidate."""

HITS_AT = (1, 3, 10)
"""The k of Hits@k, unless others are asked for."""

MOST_HITS_AT = 20
"""Number of k that can be asked for at once."""

MOST_K = 10**9
"""Largest k."""

TIE_POLICIES = ("optimistic", "realistic", "pessimistic", "random")

UNTRAINED = "untrained"
"""Stands where the folder of a policy is asked for, alone or before ``:SEED``."""

_UNTRAINED = re.compile(rf"{UNTRAINED}(?::(?P<seed>\d{{1,18}}))?")


def untrained_seed(source: Path | str) -> int | None:
    """The seed of ``untrained`` (0) or ``untrained:SEED``; None for the path of a folder."""
    named = _UNTRAINED.fullmatch(str(source))
    return None if named is None else int(named["seed"] or 0)


def untrained_name(seed: int) -> str:
    """The name of the untrained policy of a seed: ``untrained`` for 0, else ``untrained-SEED``."""
    return UNTRAINED if seed == 0 else f"{UNTRAINED}-{seed}"
