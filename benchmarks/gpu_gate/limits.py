"""Counts that the gate allows, for the package's graph and policy at 512 lanes.

They only go down: whoever makes a tick with fewer launches or spills writes the new number here.
"""

from __future__ import annotations

NUM_LANES = 512

MOST_LAUNCHES = {
    "eager": 1187,
    "captured": 1187,
    "default": 68,
    "reduce-overhead": 68,
    "graph-trees": 68,
    "separate": 74,
}
"""The most launches of a tick by compile mode. In the first two, every operation of torch is one."""

MOST_SPILLING_KERNELS = {"default": 2, "reduce-overhead": 2, "graph-trees": 2, "separate": 2}
"""The most kernels of a tick whose registers do not suffice, on any architecture. A tick runs each of its kernels,
and the largest are those that spill, so that every one counts as hot."""
