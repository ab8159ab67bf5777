"""Lets torch's compiler produce code for a CUDA device on a machine that has none, not even a driver.

The compiler needs three things of a device: its properties, which are given here by hand; tensors on it, for which fake
ones serve, which have shapes and no memory; and a runtime that loads kernels, which is kept from being called. Nothing
here runs a kernel. It works with torch's CPU build and triton beside it, for triton brings its own assembler.

Everything is replaced only while the context of :func:`absent_device` lasts and only in the process that enters it.
Nothing in ``core`` or ``service`` imports this module. It relies on internals of torch 2.13 and triton 3.7.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
import torch._dynamo.device_interface as device_interface
import torch.utils._triton as triton_probes
from torch._inductor import config

WARP_SIZE = 32


@dataclass(frozen=True)
class Architecture:
    """What the compiler asks of a card.

    Attributes:
        name: a card of this architecture.
        capability: 90 for sm_90.
        multiprocessors: number of streaming multiprocessors.
        shared_bytes: the most shared memory of one block.
        l2_bytes: size of the second-level cache.
    """

    name: str
    capability: int
    multiprocessors: int
    shared_bytes: int
    l2_bytes: int


ARCHITECTURES = {
    architecture.capability: architecture
    for architecture in (
        Architecture("A100", 80, 108, 166_912, 40 << 20),
        Architecture("H100, H200", 90, 132, 232_448, 50 << 20),
        Architecture("B200", 100, 148, 232_448, 126 << 20),
    )
}
"""Architectures by capability. Sizes: "Compute Capabilities" in NVIDIA's CUDA programming guide; multiprocessors and
cache: NVIDIA's descriptions of the cards."""


@contextlib.contextmanager
def absent_device(architecture: Architecture) -> Iterator[list[Any]]:
    """Makes ``cuda:0`` a card of ``architecture`` for the compiler while the context lasts.

    Yields:
        The kernels that the compiler made, in order: instances of its ``CachingAutotuner``, not compiled by triton yet.

    Raises:
        ImportError: triton is missing.
        RuntimeError: there is a real CUDA device, which must not be hidden.
    """
    from torch._inductor.runtime import triton_helpers, triton_heuristics
    from triton.runtime import driver

    if torch.cuda.is_available():
        raise RuntimeError("this machine has a CUDA device; the absent one is for machines without")
    kernels: list[Any] = []
    answers = _answers(architecture)
    with contextlib.ExitStack() as stack:

        def replace(owner: Any, name: str, value: Any, **options: Any) -> None:
            stack.enter_context(mock.patch.object(owner, name, value, **options))

        for name, answer in answers.items():
            replace(torch.cuda, name, answer)
        interface = device_interface.CudaInterface
        for name in _OF_INTERFACE:
            replace(interface, name, staticmethod(answers[name]))
        for name in ("current_device", "get_device_properties", "set_device"):
            replace(interface.Worker, name, staticmethod(answers[name]))
        replace(interface, "get_compute_capability", staticmethod(lambda *_: architecture.capability))
        replace(interface, "get_raw_stream", staticmethod(lambda *_: 0))
        # The CPU build does not register the interface, and lacks the function that generated code imports.
        registered = {"cuda": interface, "cuda:0": interface}
        stack.enter_context(mock.patch.dict(device_interface.device_interfaces, registered))
        stack.enter_context(mock.patch.dict(device_interface.caching_worker_device_properties, clear=True))
        replace(torch._C, "_cuda_getCurrentRawStream", lambda *_: 0, create=True)
        replace(triton_helpers, "set_driver_to_gpu", lambda: None)
        replace(driver, "_active", _Driver(architecture))
        # Kernels are collected, not loaded.
        replace(
            triton_heuristics.CachingAutotuner, "precompile", lambda kernel, *_, **__: kernels.append(kernel)
        )
        stack.enter_context(
            config.patch(compile_threads=1, force_disable_caches=True, use_static_cuda_launcher=False)
        )
        # Answers that were found before, or are found now, do not hold on the other side.
        _forget_probes()
        stack.callback(_forget_probes)
        yield kernels


_OF_INTERFACE = (
    "is_available", "device_count", "current_device", "get_device_properties", "set_device", "synchronize",
)  # fmt: skip


def _answers(architecture: Architecture) -> dict[str, Any]:
    """Functions of ``torch.cuda`` by name, as they answer for the card."""
    capability = divmod(architecture.capability, 10)
    properties = SimpleNamespace(
        name=architecture.name,
        major=capability[0],
        minor=capability[1],
        multi_processor_count=architecture.multiprocessors,
        total_memory=80 << 30,
        regs_per_multiprocessor=65_536,
        max_threads_per_multi_processor=2_048,
        max_threads_per_block=1_024,
        warp_size=WARP_SIZE,
        shared_memory_per_block=49_152,
        shared_memory_per_block_optin=architecture.shared_bytes,
        shared_memory_per_multiprocessor=architecture.shared_bytes + 1_024,
        L2_cache_size=architecture.l2_bytes,
        is_integrated=False,
        gcnArchName="",
    )
    return {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_properties": lambda *_: properties,
        "get_device_capability": lambda *_: capability,
        "get_device_name": lambda *_: architecture.name,
        "synchronize": lambda *_: None,
        "set_device": lambda *_: None,
        "get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": lambda *_: None,
        "_lazy_init": lambda: None,
        "_exchange_device": lambda *_: 0,
        "_maybe_exchange_device": lambda *_: 0,
    }


class _Driver:
    """Triton's driver, as far as compiling asks for it."""

    def __init__(self, architecture: Architecture) -> None:
        self._capability = architecture.capability

    def get_current_target(self) -> Any:
        """The target of the assembler."""
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self._capability, WARP_SIZE)

    def get_current_device(self) -> int:
        """The only one."""
        return 0

    def get_active_torch_device(self) -> torch.device:
        """The same."""
        return torch.device("cuda", 0)


def _forget_probes() -> None:
    for probe in vars(triton_probes).values():
        if hasattr(probe, "cache_clear"):
            probe.cache_clear()
