"""The fused residual block as one operation, which a compiler leaves whole.

The kernel is in ``fused_block.py``, which imports triton; that is imported when the operation first meets a GPU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from proofrank.core.policy.network import ResidualBlock


@torch.library.custom_op("proofrank::residual_block", mutates_args=())
def _residual_block(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    eps: float,
    products: str,
) -> Tensor:
    """The block as one operation for a compiler. On a CPU it is the definition, with which ticks are traced."""
    if features.device.type == "cuda":
        from proofrank.core.policy.fused_block import launch

        return launch(features.contiguous(), (weight, bias, norm_weight, norm_bias), eps, products)
    hidden = functional.relu(functional.linear(features, weight, bias))
    return features + functional.layer_norm(hidden, hidden.shape[-1:], norm_weight, norm_bias, eps)


@_residual_block.register_fake
def _(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    eps: float,
    products: str,
) -> Tensor:
    return torch.empty_like(features, memory_format=torch.contiguous_format)


def residual_block(features: Tensor, block: ResidualBlock, products: str) -> Tensor:
    """Computes ``block(features)`` as one operation, which a compiler leaves whole.

    It is ``fused_residual_block`` on a device that ``check_device`` has accepted, and the definition on a CPU.
    """
    linear, norm = block.linear, block.norm
    return _residual_block(features, linear.weight, linear.bias, norm.weight, norm.bias, norm.eps, products)
