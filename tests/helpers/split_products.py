"""Split products on a CPU: what tensor cores would multiply, in float32 arithmetic.

A product of two parts has at most 22 bits, so float32 has it exactly. How tensor cores round sums is not imitated.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def to_tf32(values: Tensor) -> Tensor:
    """Rounds float32 to 10 bits after the point, ties away from zero."""
    bits = values.view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def to_bfloat16(values: Tensor) -> Tensor:
    """Rounds float32 to 7 bits after the point, ties to even."""
    return values.to(torch.bfloat16).float()


def parts(values: Tensor, rounded: Callable[[Tensor], Tensor], number: int) -> list[Tensor]:
    """Float32 as a sum of ``number`` rounded parts, the largest first."""
    found = []
    for _ in range(number):
        part = rounded(values)
        found.append(part)
        values = values - part
    return found


def sum_of_products(left: list[Tensor], right: list[Tensor]) -> Tensor:
    """``left @ right.T`` from parts, without the products that are smaller than the last part; the smallest first."""
    most = len(left) - 1
    pairs = sorted(
        ((i, j) for i in range(len(left)) for j in range(len(right)) if i + j <= most), key=sum, reverse=True
    )
    return torch.stack([left[i] @ right[j].T for i, j in pairs]).cumsum(dim=0)[-1]


PRODUCTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "float32": lambda left, right: left @ right.T,
    "tf32": lambda left, right: to_tf32(left) @ to_tf32(right).T,
    "tf32x3": lambda left, right: sum_of_products(parts(left, to_tf32, 2), parts(right, to_tf32, 2)),
    "bf16x6": lambda left, right: sum_of_products(parts(left, to_bfloat16, 3), parts(right, to_bfloat16, 3)),
}
"""``left [N, K]`` times ``right [M, K]`` transposed, by the names that Triton has for it."""


class LinearBy(nn.Module):
    """A linear layer whose product is one of ``PRODUCTS``."""

    def __init__(self, linear: nn.Linear, products: str) -> None:
        super().__init__()
        self._linear, self._product = linear, PRODUCTS[products]

    def forward(self, rows: Tensor) -> Tensor:
        """Maps ``[N, inputs]`` to ``[N, outputs]``."""
        return self._product(rows, self._linear.weight) + self._linear.bias


def multiply_by(products: str, network: nn.Module) -> nn.Module:
    """Replaces the linear layers of ``network``, in place, and returns it."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, LinearBy(child, products))
    return network


def block_by(products: str, features: Tensor, block: nn.Module) -> Tensor:
    """A residual block in the kernel's order of operations, with one of ``PRODUCTS``."""
    hidden = functional.relu(LinearBy(block.linear, products)(features))  # pyright: ignore[reportArgumentType]
    return features + block.norm(hidden)  # pyright: ignore[reportCallIssue]
