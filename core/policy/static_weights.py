"""A network's weights in one buffer of the device, so that another policy's arrive in one copy.

The tensors of the network are views of the buffer, and their addresses never change. The host has the same buffer,
pinned if the device is CUDA: new weights are written there, and then copied behind what the device has to do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

_ALIGNMENT = 256
"""Bytes of which each tensor's place is a multiple, as of tensors that torch allocates by themselves on CUDA."""


class StaticWeights:
    """Tensors in one buffer for each of their types.

    Attributes:
        num_copies: number of copies to the device since the start.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """Moves ``tensors``, which are dense and on one device, into new buffers there; they keep their values."""
        self.num_copies = 0
        self._on_host: dict[str, Tensor] = {}
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._device = next((tensor.device for tensor in tensors.values()), torch.device("cpu"))
        is_on_cuda = self._device.type == "cuda"
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors.values()):
            own = {name: tensor for name, tensor in tensors.items() if tensor.dtype == dtype}
            multiple = _ALIGNMENT // math.gcd(_ALIGNMENT, dtype.itemsize)
            sizes = [-(-tensor.numel() // multiple) * multiple for tensor in own.values()]
            buffer = torch.zeros(sum(sizes), dtype=dtype, device=self._device)
            host = torch.zeros(sum(sizes), dtype=dtype, pin_memory=is_on_cuda)
            begin = 0
            for (name, tensor), size in zip(own.items(), sizes, strict=True):
                place = (tensor.shape, tensor.stride(), begin)
                view = buffer.as_strided(*place)
                view.copy_(tensor)
                tensor.data = view
                self._on_host[name] = host.as_strided(*place)
                begin += size
            self._pairs.append((buffer, host))
        self._copied = torch.cuda.Event() if is_on_cuda else None

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Copies ``values``, on the host, into the tensors of their names: one copy for each type.

        The device is not waited for, but for the copy before, whose source is written again.
        """
        if self._copied is not None:
            self._copied.synchronize()
        for name, tensor in self._on_host.items():
            tensor.copy_(values[name])
        for buffer, host in self._pairs:
            buffer.copy_(host, non_blocking=True)
            self.num_copies += 1
        if self._copied is not None:
            self._copied.record(torch.cuda.current_stream(self._device))
