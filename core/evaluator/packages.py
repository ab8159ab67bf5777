"""Keeps ticks compiled ahead of time, a file for each half, so that a restart loads machine code and needs no compiler.

The network is not in it: between the halves it computes the states there are, so that another policy in the same
buffers needs no compiler. A file is an AOTInductor package. Its name holds two hashes: one of all that the code depends
on (the environment, the mode, every shape and every constant), and one of its own content. A file whose content has
another hash is dropped with a warning. It is written under another name first and then renamed; of processes that begin
together, one compiles and the others wait for it.
"""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.artifact_lock import artifact_lock
from proofrank.core.evaluator.artifacts import (
    compiler_folder,
    count_package,
    first_of_error,
    hash_of_key,
    write_at_once,
)
from proofrank.core.evaluator.first_import import load_compiler
from proofrank.core.evaluator.tick import HalvedTick, Tick, TickBuffers
from proofrank.core.evaluator.tick_program import (
    FirstHalf,
    SecondHalf,
    constants_of,
    environment_tensors_of,
    observation_like,
)
from proofrank.core.prover.observation import EvalObs

logger = logging.getLogger("proofrank")

_SUFFIX = ".pt2"
_MODEL = "model"
_NODES = "nodes"
_OPTIONS: dict[str, Any] = {
    # The compiler's own test programs for each set of vector instructions cost an eighth of the compilation.
    # The processor's flags say the same; a compiler that is too old for them is an error, reported as one.
    "cpp.vec_isa_ok": True,
    # For any processor with the same vector instructions, not for this one alone: images are built elsewhere.
    "cpp.march": "",
    # Each header is used once, so that compiling it ahead costs more than it saves.
    "aot_inductor.precompile_headers": False,
    "aot_inductor.enable_line_tables": False,
    # Of the calls between the kernels: the same time a tick, two thirds of the time to compile them.
    "aot_inductor.compile_wrapper_opt_level": "O0",
}
_VECTOR_FLAGS = re.compile(r"avx|amx|fma|f16c|asimd|sve|bf16|i8mm")


class PackageError(EvaluationError):
    """A tick could not be compiled ahead of time, or its package not be loaded."""


class _Package(NamedTuple):
    """A loaded package: its function of a list of tensors, and how many operations it was traced to."""

    function: Callable[[list[Tensor]], list[Tensor]]
    num_nodes: int


class _Half(NamedTuple):
    """A half of a tick, and what makes arguments like its own, which it takes to build it and not to load it."""

    name: str
    program: nn.Module
    arguments: Callable[[], tuple[Any, ...]]


def is_available() -> bool:
    """Whether this version of torch has what packages need."""
    return _loader_class() is not None and all(_has_option(name) for name in _OPTIONS)


def _loader_class() -> Any:
    """The class that loads a package, or None."""
    return getattr(getattr(torch._C, "_aoti", None), "AOTIModelPackageLoader", None)


def _has_option(name: str) -> bool:
    load_compiler()
    from torch._inductor import config

    section, _, option = name.partition(".")
    return hasattr(getattr(config, section), option)


class PackageCache:
    """A folder of packages."""

    def __init__(self, root: Path) -> None:
        """Packages in ``root``; made when it is first written to."""
        self._root = root

    def compile(self, tick: HalvedTick, mode: object) -> None:
        """Replaces the halves of ``tick`` by machine code on its static buffers, from the folder or made now; waits
        where another process is making it.

        Args:
            tick: whose buffers, sizes and constants are meant.
            mode: of the compiler; a part of the key.

        Raises:
            PackageError: it was not there and could not be made.
        """
        tensors = environment_tensors_of(tick)
        halves = (
            _Half("first", FirstHalf(tick.parts), lambda: (tensors,)),
            _Half(
                "second",
                SecondHalf(tick.parts),
                lambda: (tensors, observation_like(tick), tick.vectors, tick.num_padded),
            ),
        )
        key = _key(tick, tensors, mode)
        first, second = (package.function for package in self._packages(halves, key))

        # They work on the buffers of the tick, whatever their other arguments.
        def first_half(_: TickBuffers) -> EvalObs:
            return EvalObs(*first(tensors))

        def second_half(_: TickBuffers, observation: EvalObs, *__: Tensor) -> None:
            second([*tensors, *observation, tick.vectors, tick.num_padded])

        tick.first = first_half
        tick.second = second_half

    def _packages(self, halves: Sequence[_Half], key: str) -> list[_Package]:
        """The package of each half; of processes that lack any of them, one makes what is missing."""
        stems = [f"{half.name}-{key}" for half in halves]
        loaded = [self._loaded(stem) for stem in stems]
        packages = [package for package in loaded if package is not None]
        made: set[str] = set()
        if len(packages) < len(halves):
            with artifact_lock(self._root / stems[0]):
                packages = []
                for half, stem in zip(halves, stems, strict=True):
                    package = self._loaded(stem)
                    if package is None:
                        package = self._made(half, stem)
                        made.add(stem)
                    packages.append(package)
        # Not before all are there: what could not be made whole is not used.
        for stem, package in zip(stems, packages, strict=True):
            count_package(is_hit=stem not in made, num_nodes=package.num_nodes)
        return packages

    def _loaded(self, stem: str) -> _Package | None:
        """The package of that key if there is a sound one."""
        for path in sorted(self._root.glob(f"{stem}-*{_SUFFIX}")):
            try:
                if path.name != _name(stem, path.read_bytes()):
                    raise PackageError("its content is not what was written")
                return _load(path)
            except (PackageError, OSError) as error:
                logger.warning("compiled artifact %s is damaged (%s); it is made again", path, error)
                _remove(path)
        return None

    def _made(self, half: _Half, stem: str) -> _Package:
        """Compiles the package and keeps it, where the folder can be written to."""
        with tempfile.TemporaryDirectory(prefix="proofrank-") as scratch:
            made = Path(scratch) / f"tick{_SUFFIX}"
            _build(half, made)
            package = _load(made)
            try:
                content = made.read_bytes()
                write_at_once(self._root / _name(stem, content), content)
            except OSError as error:
                logger.warning("artifacts are not kept: %s cannot be used: %s", self._root, error.strerror)
        return package


def _key(tick: Tick, tensors: list[Tensor], mode: object) -> str:
    """A hash of all that the code of both halves depends on; what is between them has its shapes from that."""
    return hash_of_key(
        {
            "vectors": _vector_flags(),
            "options": _OPTIONS,
            "mode": mode,
            "constants": constants_of(tick),
            "tensors": [(list(tensor.shape), tensor.stride(), tensor.dtype) for tensor in tensors],
        }
    )


def _vector_flags() -> list[str]:
    """The processor's sets of vector instructions, by which the compiler chooses those of the code."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return sorted(flag for flag in flags.split() if _VECTOR_FLAGS.search(flag))


def _name(stem: str, content: bytes) -> str:
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:32]}{_SUFFIX}"


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s cannot be removed: %s", path, error.strerror)


def _build(half: _Half, path: Path) -> None:
    """Traces ``half`` and writes its package.

    Raises:
        PackageError: there is no compiler, or it does not take the half.
    """
    load_compiler()
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InductorError, InvalidCxxCompiler

    try:
        cpp_builder.get_cpp_compiler()  # Asked first: without one the compiler would find out after half of its work.
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            compiler_folder(path.parent),
            warnings.catch_warnings(action="ignore", category=FutureWarning),
        ):
            # The tracer wants tensors that it may write to; it never looks at what is in them.
            examples = tree_map(torch.empty_like, half.arguments())
            program = torch.export.export(half.program, examples, strict=False)
            options = {**_OPTIONS, "aot_inductor.metadata": {_NODES: str(len(program.graph.nodes))}}
            torch._inductor.aoti_compile_and_package(
                program, package_path=str(path), inductor_configs=options
            )
    except (InductorError, InvalidCxxCompiler, RuntimeError, OSError) as error:
        raise PackageError(first_of_error(error)) from error


def _load(path: Path) -> _Package:
    """Loads the package at ``path``, which is not needed after that.

    Raises:
        PackageError: it is none, or not one of this machine.
    """
    # The loader itself, not its Python front: that imports the whole compiler and may call the C++ compiler to compare
    # processors, which the key has done.
    try:
        loader = _loader_class()(str(path), _MODEL, False, 1, -1)
        return _Package(loader.run, int(loader.get_metadata().get(_NODES, 0)))
    except (RuntimeError, ValueError) as error:
        raise PackageError(first_of_error(error)) from error
