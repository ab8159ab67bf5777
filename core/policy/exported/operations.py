"""The operations that an exported network may have, and what each runs.

They are operations of core ATen, the set that ``torch.export`` takes a program apart into. Allowed is what computes
numbers from numbers, in shapes that do not depend on them. Not allowed are: what writes to its input, draws random
numbers, or views memory by strides; results whose shape depends on values; sorting, whose time a limit on sizes does
not bound; and remainders of whole numbers, which can stop the process.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_UNARY = (
    "abs", "acos", "acosh", "alias", "asin", "asinh", "atan", "atanh", "bitwise_not", "ceil", "clone", "cos", "cosh",
    "elu", "erf", "exp", "expm1", "floor", "gelu", "hardtanh", "isinf", "isnan", "leaky_relu", "log", "log10", "log1p",
    "log2", "logical_not", "neg", "reciprocal", "relu", "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt",
    "tan", "tanh", "trunc",
)  # fmt: skip
_COMPARISONS = ("eq", "ge", "gt", "le", "lt", "ne")
_BITWISE = ("bitwise_and", "bitwise_or", "bitwise_xor")

ALLOWED = frozenset(
    [
        *(f"aten.{name}.default" for name in _UNARY),
        *(f"aten.{name}.{kind}" for name in (*_COMPARISONS, *_BITWISE) for kind in ("Scalar", "Tensor")),
        *(f"aten.{name}.{kind}" for name in ("add", "sub", "mul", "div") for kind in ("Scalar", "Tensor")),
        *(f"aten.pow.{kind}" for kind in ("Scalar", "Tensor_Scalar", "Tensor_Tensor")),
        *(f"aten.{name}.default" for name in ("atan2", "maximum", "minimum")),
        *(f"aten.logical_{name}.default" for name in ("and", "or", "xor")),
        *(f"aten.clamp.{kind}" for kind in ("default", "Tensor")),
        "aten.where.self",
        *(f"aten.{name}" for name in ("mean.default", "mean.dim", "sum.default", "sum.dim_IntList")),
        *(f"aten.{name}.default" for name in ("amax", "amin", "argmax", "argmin", "cumsum")),
        *(f"aten.any.{kind}" for kind in ("default", "dim", "dims")),
        *(f"aten.{name}.dim" for name in ("max", "min")),
        *(f"aten.prod.{kind}" for kind in ("default", "dim_int")),
        *(f"aten.var.{kind}" for kind in ("correction", "dim")),
        *(f"aten.{name}.default" for name in ("_softmax", "_log_softmax")),
        *(f"aten.{name}.default" for name in ("addmm", "bmm", "convolution", "mm")),
        *(f"aten.{name}.default" for name in ("embedding", "gather", "index_select")),
        "aten.index.Tensor",
        *(
            f"aten.{name}.default"
            for name in ("cat", "constant_pad_nd", "expand", "flip", "permute", "repeat")
        ),
        *(f"aten.{name}.default" for name in ("unsqueeze", "view", "split_with_sizes")),
        *(f"aten.squeeze.{kind}" for kind in ("dim", "dims")),
        *(f"aten.{name}" for name in ("select.int", "slice.Tensor")),
        *(f"aten.{name}.default" for name in ("full", "full_like", "scalar_tensor", "_to_copy")),
        "aten.arange.start_step",
        *(f"aten.{name}.default" for name in ("native_layer_norm", "native_group_norm")),
        "aten._native_batch_norm_legit_no_training.default",
        "getitem",
    ]
)
"""Names of the operations, with their overload."""

MAKING_TENSORS = frozenset(["aten.arange.start_step", "aten.full.default", "aten.scalar_tensor.default"])
"""Operations that no tensor tells on which device their result should be."""

ABOUT_MEMORY = frozenset(
    ["device", "layout", "memory_format", "non_blocking", "out", "pin_memory", "requires_grad"]
)
"""Arguments about where and how a result lies in memory, which the engine decides."""

WITHOUT_EFFECT = frozenset(["aten.alias.default", "aten.clone.default"])
"""Operations that only give their input a name or a place of its own. Nothing is written to, so they are left out."""

_FEWEST_COLUMNS = 16
"""Number of columns from which on a product gives a row the same bits in every place. With 2 to 11, MKL adds the
numbers of some rows in another order, unless the inner size is a multiple of 4."""

_FEWEST_ROWS = 64
"""Number of rows of a batched product from which on they may be states; fewer are the atoms within one."""


def _view(tensor: Tensor, size: list[int]) -> Tensor:
    # A view asks for the strides that the traced program had; what is left out may have changed them.
    return tensor.reshape(size)


def _with_enough_columns(tensor: Tensor) -> Tensor:
    """Returns a factor or a bias with zeros for the columns that it lacks; a single column needs none."""
    missing = _FEWEST_COLUMNS - tensor.shape[-1]
    return tensor if missing <= 0 or tensor.shape[-1] == 1 else functional.pad(tensor, (0, missing))


def _mm(first: Tensor, second: Tensor) -> Tensor:
    return torch.mm(first, _with_enough_columns(second))[:, : second.shape[1]].contiguous()


def _addmm(bias: Tensor, first: Tensor, second: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    if bias.dim():
        # Padded, sizes that do not fit could look as if they did.
        if bias.shape[-1] not in (1, second.shape[1]):
            raise ValueError(f"a bias of shape {list(bias.shape)} for {second.shape[1]} columns")
        bias = _with_enough_columns(bias)
    product = torch.addmm(bias, first, _with_enough_columns(second), beta=beta, alpha=alpha)
    return product[:, : second.shape[1]].contiguous()


def _bmm(first: Tensor, second: Tensor) -> Tensor:
    if first.shape[1] < _FEWEST_ROWS:
        return torch.bmm(first, second)
    return torch.bmm(first, _with_enough_columns(second))[:, :, : second.shape[2]].contiguous()


def _batch_norm(
    tensor: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    momentum: float,
    eps: float,
) -> tuple[Tensor]:
    # ATen's own operation does not compare the sizes of its inputs.
    channels = (tensor.shape[1],)
    for given in (weight, bias, mean, variance):
        if given is not None and tuple(given.shape) != channels:
            raise ValueError(f"a tensor of shape {list(given.shape)} for {channels[0]} channels")
    return (functional.batch_norm(tensor, mean, variance, weight, bias, eps=eps),)


def _group_norm(
    tensor: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    num_rows: int,
    num_channels: int,
    size: int,
    num_groups: int,
    eps: float,
) -> tuple[Tensor]:
    given = (num_rows, num_channels, num_rows * num_channels * size)
    if given != (*tensor.shape[:2], tensor.numel()):
        raise ValueError(f"sizes {given} for a tensor of shape {list(tensor.shape)}")
    return (functional.group_norm(tensor, num_groups, weight, bias, eps),)


def _index(tensor: Tensor, indices: list[Tensor | None]) -> Tensor:
    # Booleans would choose as many elements as are true.
    if any(index is not None and index.dtype is not torch.int64 for index in indices):
        raise TypeError("an index that is not int64")
    return torch.ops.aten.index.Tensor(tensor, indices)


_OURS: dict[str, Callable[..., Any]] = {
    "getitem": operator.getitem,
    "aten.index.Tensor": _index,
    "aten.view.default": _view,
    "aten.mm.default": _mm,
    "aten.addmm.default": _addmm,
    "aten.bmm.default": _bmm,
    "aten._native_batch_norm_legit_no_training.default": _batch_norm,
    "aten.native_group_norm.default": _group_norm,
}


def function_of(name: str) -> Callable[..., Any]:
    """Returns what the operation ``name``, which is allowed, runs."""
    if name in _OURS:
        return _OURS[name]
    _, packet, overload = name.split(".")
    return getattr(getattr(torch.ops.aten, packet), overload)
