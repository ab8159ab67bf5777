"""Runs the fused residual block by Triton's interpreter; ``TRITON_INTERPRET=1`` must be set when it starts.

Prints what it finds as one line of JSON. The interpreter multiplies in float32, whatever the split.
"""

from __future__ import annotations

import copy
import json
import math

import torch

from proofrank.core.policy.fused_block import TILE_ROWS, fused_residual_block
from proofrank.core.policy.network import ResidualBlock


def drawn_block(size: int, generator: torch.Generator) -> ResidualBlock:
    """A block all of whose parameters matter."""
    block = ResidualBlock(size, eps=1e-5).requires_grad_(False)
    for parameter, scale in zip(block.parameters(), (1 / math.sqrt(size), 0.3, 1.0, 0.5), strict=True):
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return block


def error(size: int, num_rows: int) -> float:
    """Largest difference from the definition in float64."""
    generator = torch.Generator().manual_seed(size + num_rows)
    block = drawn_block(size, generator)
    features = torch.randn(num_rows, size, generator=generator)
    expected = copy.deepcopy(block).double()(features.double())
    found = fused_residual_block(features, block).double()
    assert found.shape == expected.shape
    return (found - expected).abs().max().item() if num_rows else 0.0


def other_bits_in_other_company() -> int:
    """Number of values of a row that differ where all other rows, and their number, are others."""
    generator = torch.Generator().manual_seed(5)
    block = drawn_block(64, generator)
    features = torch.randn(2 * TILE_ROWS + 9, 64, generator=generator)
    other = features * 7 + 1
    row = TILE_ROWS + 3
    other[row] = features[row]
    before = fused_residual_block(features, block)[row]
    after = fused_residual_block(other[: row + 1], block)[row]
    return int((before.view(torch.int32) != after.view(torch.int32)).sum())


def main() -> None:
    """Prints the errors by size and number of rows, and what becomes of a row elsewhere and of a NaN."""
    cases = [(16, 1), (64, TILE_ROWS), (64, TILE_ROWS + 1), (64, 0), (256, 2 * TILE_ROWS - 1)]
    generator = torch.Generator().manual_seed(7)
    features = torch.randn(3, 32, generator=generator)
    features[1, 4] = math.nan
    nan_rows = fused_residual_block(features, drawn_block(32, generator)).isnan().all(dim=1).tolist()
    found = {
        "errors": {f"{size}x{rows}": error(size, rows) for size, rows in cases},
        "other_bits": other_bits_in_other_company(),
        "nan_rows": nan_rows,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
