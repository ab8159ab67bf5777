"""Counts that the gate allows, for the package's graph and policy at 512 lanes.

A change that makes a tick with fewer launches writes the new number here. One that needs more says in its commit what
they are for, and that they could not be had for less.
"""

from __future__ import annotations

NUM_LANES = 512

MOST_LAUNCHES = {
    "eager": 1286,
    "captured": 1286,
    "default": 40,
    "reduce-overhead": 40,
    "graph-trees": 40,
    "separate": 41,
    "fused-blocks": 37,
}
"""The most launches of a tick by compile mode, with the bits of a least model for pruning. In the first two, every
operation of torch is one."""
