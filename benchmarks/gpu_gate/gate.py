"""Examines the ticks of compile modes for architectures, and says what is wrong with them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from benchmarks.gpu_gate.absent_device import Architecture
from benchmarks.gpu_gate.fused import compiled_block
from benchmarks.gpu_gate.machine_code import read_machine_code
from benchmarks.gpu_gate.programs import Program, compiled
from benchmarks.gpu_gate.traced import Operations, Trace, operations_of, traces_of
from proofrank.core.evaluator import CompiledEvaluator
from proofrank.core.evaluator.modes import COMPILE_MODES, Mode, compiler_options
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.tick import SeparateTick, Tick
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.policy.fused_block import CAPABILITY_MAJOR
from proofrank.core.prover import ProverSettings

CUDA = torch.device("cuda")

FUSED_BLOCK = "residual_block"
"""Beginning of the name of the network's fused kernel."""


@dataclass
class Examined:
    """A mode's tick for an architecture.

    Attributes:
        modes: compile modes with this program.
        architecture: what it was compiled for; None for a tick that is not compiled.
        traces: what the compiler was given.
        programs: what it made; none where a trace is no single graph, or reads back.
        operations: of a tick that is not compiled.
    """

    modes: tuple[str, ...]
    architecture: Architecture | None
    traces: list[Trace] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)
    operations: Operations | None = None

    @property
    def target(self) -> str:
        """Name of the architecture."""
        return "any" if self.architecture is None else f"sm_{self.architecture.capability}"

    @property
    def num_launches(self) -> int:
        """Launches of a tick."""
        if self.operations is not None:
            return sum(self.operations.launches.values())
        return sum(len(program.launches) for program in self.programs)

    @property
    def num_graph_breaks(self) -> int:
        """Breaks of the tick's graphs."""
        return sum(sum(trace.graph_breaks.values()) + len(trace.graphs) - 1 for trace in self.traces)

    @property
    def host_reads(self) -> list[str]:
        """Operators that make the host wait."""
        if self.operations is not None:
            return self.operations.host_reads
        return [read for trace in self.traces for read in trace.host_reads]

    def row(self) -> dict[str, Any]:
        """The row of the table."""
        row: dict[str, Any] = {"modes": ", ".join(self.modes), "target": self.target}
        if self.operations is not None:
            counted = self.operations
            moved = (counted.bytes_read, counted.bytes_written, counted.flops)
            libraries: Any = ""
            codes: list[Any] = []
            num_kernels: Any = ""
        else:
            launches = [launch for program in self.programs for launch in program.launches]
            moved = (
                sum(launch.bytes_read or 0 for launch in launches),
                sum(launch.bytes_written or 0 for launch in launches),
                sum(launch.flops for launch in launches),
            )
            libraries = sum(launch.is_library for launch in launches)
            codes = [code for program in self.programs for code in program.kernels.values()]
            num_kernels = len(codes)
        return {
            **row,
            "launches": self.num_launches,
            "of libraries": libraries,
            "kernels": num_kernels,
            "most registers": max((code.registers for code in codes), default=""),
            "spilling kernels": sum(code.is_spilling for code in codes) if codes else "",
            "most shared KiB": max((code.shared_bytes for code in codes), default=0) / 1024 if codes else "",
            "with tensor cores": sum(code.tensor_core_instructions > 0 for code in codes) if codes else "",
            "MB read": moved[0] / 1e6,
            "MB written": moved[1] / 1e6,
            "GFLOP": moved[2] / 1e9,
            "graph breaks": self.num_graph_breaks,
            "host reads": len(self.host_reads),
        }

    def details(self) -> dict[str, Any]:
        """Everything for the record, but the sources."""
        return {
            **self.row(),
            "parts": [
                {
                    "part": program.name,
                    "launches": [asdict(launch) for launch in program.launches],
                    "kernels": {name: asdict(code) for name, code in program.kernels.items()},
                }
                for program in self.programs
            ],
            "operations": self.operations.launches if self.operations is not None else {},
        }


def problems_of(examined: Examined, most_launches: Mapping[str, int]) -> list[str]:
    """What is wrong with a tick, a sentence each. A tick runs each of its kernels, so that every one is hot.

    Args:
        examined: the tick.
        most_launches: compile mode -> launches that are allowed; any number where it is missing.
    """
    name = f"{', '.join(examined.modes)} ({examined.target})"
    found = [f"{name}: the host waits for {read}" for read in examined.host_reads]
    found += [
        f"{name}: the graph of {trace.name} breaks: {reason}"
        for trace in examined.traces
        for reason in trace.graph_breaks or (["no single graph"] if len(trace.graphs) != 1 else [])
    ]
    codes = [item for program in examined.programs for item in program.kernels.items()]
    found += [f"{name}: kernel {kernel} is a trap" for kernel, code in codes if code.is_trap]
    found += [
        f"{name}: kernel {kernel} stores nothing; it has {code.instructions} instructions"
        for kernel, code in codes
        if code.is_hollow
    ]
    found += [
        f"{name}: kernel {kernel} spills {code.stack_bytes} bytes a thread, with {code.registers} registers"
        for kernel, code in codes
        if code.is_spilling
    ]
    found += [
        f"{name}: kernel {kernel} has no product on tensor cores"
        for kernel, code in codes
        if kernel.startswith(FUSED_BLOCK) and not code.tensor_core_instructions
    ]
    for mode in examined.modes:
        if examined.num_launches > most_launches.get(mode, examined.num_launches):
            found.append(f"{name}: {examined.num_launches} launches, more than {most_launches[mode]}")
    return found


def add_fused_block(program: Program, size: int, products: str, architecture: Architecture) -> None:
    """Adds the machine code of the fused residual block to the kernels of ``program``, which calls it."""
    binary = compiled_block(size, products, architecture.capability)
    code = read_machine_code(binary.asm["cubin"], binary.metadata.shared)
    program.kernels[f"{FUSED_BLOCK}_{products}_{size}"] = code


def make_tick(
    compile_mode: str,
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings,
    options: EvaluatorOptions,
    num_lanes: int,
) -> Tick:
    """A tick on the CPU of the class that ``compile_mode`` has on CUDA, not compiled; with pruning as there."""
    options = replace(options, has_model_bits=True)
    mode = Mode.of(compile_mode, fullgraph=True, device=CUDA)
    on_cpu = "separate" if mode.tick is SeparateTick else "captured"
    tick = CompiledEvaluator(dataset, policy, settings, options, compile_mode=on_cpu).make_tick(num_lanes)
    assert type(tick) is mode.tick
    tick.network.fuse_blocks(mode.products)
    return tick


def groups_of(compile_modes: Iterable[str]) -> list[tuple[str, ...]]:
    """Compile modes, grouped by what is run: those of a group differ only in who captures the launches, and when."""
    groups: dict[Any, list[str]] = {}
    for name in compile_modes:
        mode = Mode.of(name, fullgraph=True, device=CUDA)
        groups.setdefault((mode.tick, mode.products, str(sorted(options_of(mode).items()))), []).append(name)
    return [tuple(group) for group in groups.values()]


def options_of(mode: Mode) -> dict[str, Any]:
    """What the compiler is told for ``mode`` on CUDA, without the capture, which changes no kernel."""
    if not mode.is_compiled:
        return {"compiled": False}
    options = dict(compiler_options(mode, CUDA))
    options.pop("triton.cudagraphs", None)
    return options


def examine(
    dataset: Dataset,
    policy: Policy,
    settings: ProverSettings,
    options: EvaluatorOptions,
    num_lanes: int,
    architectures: Sequence[Architecture],
    compile_modes: Sequence[str] = COMPILE_MODES,
    *,
    with_machine_code: bool = True,
    with_variants: bool = True,
) -> Iterator[Examined]:
    """Examines the ticks of ``compile_modes`` one after another; says on the error stream what it is at.

    Args:
        dataset: the graph.
        policy: must fit it.
        settings: of the prover.
        options: of the evaluator, on the CPU; with a bucket of ``num_lanes``.
        num_lanes: of the tick.
        architectures: to compile for.
        compile_modes: modes that CUDA has.
        with_machine_code: whether kernels are compiled to machine code.
        with_variants: whether in all configurations, or in the first alone.
    """
    for group in groups_of(compile_modes):
        mode = Mode.of(group[0], fullgraph=True, device=CUDA)
        began = time.monotonic()

        def make(name: str = group[0]) -> Tick:
            return make_tick(name, dataset, policy, settings, options, num_lanes)

        if not mode.is_compiled:
            yield Examined(group, None, operations=operations_of(make()))
            continue
        told = options_of(mode)
        for architecture in architectures:
            if mode.products is not None and architecture.capability // 10 != CAPABILITY_MAJOR:
                continue  # An evaluator refuses such a card.
            # Compiling changes a graph, so that each architecture has its own.
            examined = Examined(group, architecture, traces_of(make(), told))
            if not examined.num_graph_breaks and not examined.host_reads:
                examined.programs = [
                    compiled(
                        trace,
                        architecture,
                        told,
                        with_machine_code=with_machine_code,
                        with_variants=with_variants,
                    )
                    for trace in examined.traces
                ]
            if mode.products is not None and with_machine_code:
                for program in examined.programs:
                    add_fused_block(program, policy.shape.hidden_dim, mode.products, architecture)
            print(f"{examined.target} {group}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            yield examined
