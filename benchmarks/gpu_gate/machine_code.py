"""Reads what a kernel needs and does from its machine code, with the tools that triton brings."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

KEPT_BYTES = 16
"""Bytes of a stack that are no spill: a value or two that a thread keeps while it calls an assertion."""

_TENSOR_CORE = re.compile(r"^(HMMA|HGMMA|QGMMA|IMMA|IGMMA|BGMMA|DMMA|UTC\w*MMA)")
_GLOBAL_STORE = re.compile(r"^(STG|ST\.E|ST$|ATOMG|ATOM|REDG|RED|UTMASTG|UBLKCP|STAS)")
_LOCAL = re.compile(r"^(STL|LDL)")
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?\s*([A-Z][A-Z0-9_.]*)")
_USAGE = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")


@dataclass(frozen=True)
class MachineCode:
    """One kernel for one architecture.

    Attributes:
        registers: of a thread.
        stack_bytes: of a thread; what does not fit into registers lies there.
        spill_instructions: loads and stores of the stack.
        shared_bytes: shared memory of a block.
        instructions: all, without padding.
        tensor_core_instructions: of those, products on tensor cores.
        global_stores: of those, stores and atomics to global memory.
        is_trap: whether the kernel stops the device on a path that no assertion guards.
    """

    registers: int
    stack_bytes: int
    spill_instructions: int
    shared_bytes: int
    instructions: int
    tensor_core_instructions: int
    global_stores: int
    is_trap: bool

    @property
    def is_spilling(self) -> bool:
        """Whether registers did not suffice."""
        return self.stack_bytes > KEPT_BYTES and self.spill_instructions > 0

    @property
    def is_hollow(self) -> bool:
        """Whether nothing that the kernel does is seen outside of it."""
        return self.global_stores == 0


def read_machine_code(cubin: bytes, dynamic_shared_bytes: int) -> MachineCode:
    """Reads the code of the one kernel in ``cubin``.

    Args:
        cubin: as the assembler wrote it.
        dynamic_shared_bytes: shared memory that is asked for at launch.

    Raises:
        RuntimeError: the tools cannot read it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        listing = _cuobjdump(path)
    usage = _USAGE.search(listing)
    names = [match[1] for line in listing.splitlines() if (match := _INSTRUCTION.match(line))]
    if usage is None or not names:
        raise RuntimeError("cuobjdump shows no resource usage, or no instruction, of a kernel")
    registers, stack, shared, _ = map(int, usage.groups())
    names = _without_padding(names)
    has_assertion = "__assertfail" in listing or any(name.startswith("CALL.ABS") for name in names)
    return MachineCode(
        registers=registers,
        stack_bytes=stack,
        spill_instructions=_count(_LOCAL, names),
        shared_bytes=max(shared, dynamic_shared_bytes),
        instructions=len(names),
        tensor_core_instructions=_count(_TENSOR_CORE, names),
        global_stores=_count(_GLOBAL_STORE, names),
        is_trap=not has_assertion and any(name.startswith("BPT") for name in names),
    )


def _count(pattern: re.Pattern[str], names: list[str]) -> int:
    return sum(pattern.match(name) is not None for name in names)


def _without_padding(names: list[str]) -> list[str]:
    """Drops the idle instructions, and the branch to itself, that fill the last line of the code."""
    return [name for name in names if name != "NOP"]


def _cuobjdump(path: Path) -> str:
    """The usage of resources and the instructions of the code in ``path``."""
    import triton.backends.nvidia

    folder = Path(triton.backends.nvidia.__file__).parent / "bin"
    done = subprocess.run(
        [folder / "cuobjdump", "-res-usage", "-sass", path],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(folder)},
    )
    if done.returncode:
        raise RuntimeError(f"cuobjdump ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
