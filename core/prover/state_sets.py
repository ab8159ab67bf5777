"""States as sets of atoms, for the visited check: hashes find a match, and a comparison confirms it.

Order and repetitions of atoms do not matter. Comparison distinguishes different sets with one hash, so a result never
depends on a hash alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

_FIRST_MULTIPLIER = -4658895280553007687  # odd 64-bit constants with mixed bits (Steele et al. 2014)
_SECOND_MULTIPLIER = -7723592293110705685


def set_hash(atoms: Tensor) -> Tensor:
    """Hashes the set of atoms of each state.

    Args:
        atoms: ``[..., W]`` int64, padded with 0.

    Returns:
        ``[...]`` int64, equal for states with the same atoms in any order and number.
    """
    mixed = atoms ^ (atoms >> 30)
    mixed = mixed * _FIRST_MULTIPLIER
    mixed = mixed ^ (mixed >> 27)
    mixed = mixed * _SECOND_MULTIPLIER
    mixed = mixed ^ (mixed >> 31)
    # Of equal atoms only the first counts.
    earlier = torch.ones(atoms.shape[-1], atoms.shape[-1], dtype=torch.bool, device=atoms.device).tril(-1)
    is_repeated = ((atoms.unsqueeze(-1) == atoms.unsqueeze(-2)) & earlier).any(dim=-1)
    counts = (atoms != 0) & ~is_repeated
    return (mixed * counts).sum(dim=-1)


def same_set(left: Tensor, right: Tensor) -> Tensor:
    """Returns whether states have the same set of atoms; ``[..., W]`` int64 each, ``[...]`` bool."""
    equal = left.unsqueeze(-1) == right.unsqueeze(-2)
    is_left_in_right = equal.any(dim=-1) | (left == 0)
    is_right_in_left = equal.any(dim=-2) | (right == 0)
    return is_left_in_right.all(dim=-1) & is_right_in_left.all(dim=-1)
