"""Matrix products whose weights are packed once, by oneDNN, where that is faster than torch's own.

torch multiplies float32 matrices with MKL, whose code is not made for AMD's processors: there oneDNN takes a tenth less
for the products of a policy (``docs/decisions.md``). Intel's keep MKL. The choice depends on the processor and on
nothing that is timed, so that all processes of a machine compute the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

_PROCESSORS = Path("/proc/cpuinfo")
_VENDOR = "AuthenticAMD"


class PackedProducts:
    """The float32 products of some linear layers on a CPU, each with the weights that it had when it was packed."""

    def __init__(self) -> None:
        """Packs nothing yet."""
        self._packed: dict[nn.Linear, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def pack(self, layers: Iterable[nn.Linear], num_rows: int) -> None:
        """Packs the weights of ``layers`` and forgets those before.

        Args:
            layers: whose weights are as they will be used. Those that are not on a CPU, or not float32, are left out.
            num_rows: of most products.
        """
        self._packed = {
            layer: (layer.weight, torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), num_rows))
            for layer in layers
            if layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float32
        }

    def clear(self) -> None:
        """Forgets the packed weights: all products are torch's from now on."""
        self._packed = {}

    def __call__(self, layer: nn.Linear, rows: Tensor) -> Tensor:
        """Applies ``layer`` to ``rows`` ``[n, in]``; as torch does it if its weights are others than those packed."""
        weight, packed = self._packed.get(layer, (None, None))
        if weight is not layer.weight or rows.device.type != "cpu":
            return layer(rows)
        # Without oneDNN's ReLU, which would save some percent more: it makes 0 of what is not a number, and so would
        # hide a broken policy.
        return torch.ops.mkldnn._linear_pointwise(rows, packed, layer.bias, "none", [], "")


@cache
def is_packing_faster() -> bool:
    """Whether this machine's processor multiplies faster with packed weights, and torch can pack them."""
    can_pack = torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise")
    )
    return can_pack and _vendor() == _VENDOR


def _vendor() -> str:
    """The maker of the processor, as the kernel has it; empty if it does not say."""
    try:
        lines = _PROCESSORS.read_text().splitlines()
    except OSError:
        return ""
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id"))
    return next(named, "")
