"""Keeps what the compiler made, so that a restart compiles nothing.

The compiler's own portable cache is used, in a folder of its own for each key: the versions, the device, the code of
``core``, the mode and every shape. A sealed folder carries a list of its files with their hashes; where a file is
missing or changed, the folder is dropped with a warning and made again. Of processes that begin together, one compiles
and the others wait for it.

Ticks compiled ahead of time are kept by ``proofrank.core.evaluator.packages``, beside these folders.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from proofrank.core.evaluator.artifact_lock import artifact_lock

logger = logging.getLogger("proofrank")

MANIFEST_STEM = "proofrank-manifest"
MANIFEST = f"{MANIFEST_STEM}.json"
_CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
_NOT_LISTED = ("precompiled_headers", "locks")
"""Folders of the compiler that a finished artifact does not need."""

_COMPILER_COUNTS = "torch._dynamo.utils"
"""Module of the compiler's own counters. It loads the whole compiler, which takes a process longer than all else."""


def default_cache_folder() -> Path:
    """Default folder of artifacts."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "proofrank"


@dataclass(frozen=True)
class CompileCounts:
    """Counts of the compiler's work in this process.

    Attributes:
        cache_hits: graphs taken from the cache.
        cache_misses: graphs compiled.
        graph_breaks: places where a graph was cut.
        graphs: graphs traced; more of them after the warm-up are recompiles.
        nodes: operations in them.
        cuda_graphs: CUDA graphs captured.
    """

    cache_hits: int
    cache_misses: int
    graph_breaks: int
    graphs: int
    nodes: int
    cuda_graphs: int


class _OwnCounts:
    """Counts of what is compiled or captured here, beside the compiler's own."""

    def __init__(self) -> None:
        self.package_hits = 0
        self.package_misses = 0
        self.package_nodes = 0
        self.captured_graphs = 0


_own_counts = _OwnCounts()


def compile_counts() -> CompileCounts:
    """Reads the compiler's counters, which are 0 where nothing has loaded it."""
    compiler = sys.modules.get(_COMPILER_COUNTS)
    # Another thread may be loading it: then it has none yet.
    counters: Mapping[str, Counter[str]] = getattr(compiler, "counters", {})
    times: Mapping[str, list[float]] = getattr(compiler, "compilation_time_metrics", {})
    of_cache, stats = counters.get("inductor", Counter()), counters.get("stats", Counter())
    num_packages = _own_counts.package_hits + _own_counts.package_misses
    return CompileCounts(
        cache_hits=of_cache["fxgraph_cache_hit"] + _own_counts.package_hits,
        cache_misses=of_cache["fxgraph_cache_miss"] + _own_counts.package_misses,
        graph_breaks=sum(counters.get("graph_break", Counter()).values()),
        graphs=stats["unique_graphs"] + num_packages,
        nodes=stats["calls_captured"] + _own_counts.package_nodes,
        # The compiler times each capture of its own, and keeps the times.
        cuda_graphs=len(times.get("CUDAGraphNode.record", ())) + _own_counts.captured_graphs,
    )


def count_package(*, is_hit: bool, num_nodes: int) -> None:
    """Counts a graph that was compiled ahead of time, or taken as such from a folder, beside the compiler's own."""
    _own_counts.package_hits += is_hit
    _own_counts.package_misses += not is_hit
    _own_counts.package_nodes += num_nodes


def count_captured_graph() -> None:
    """Counts a CUDA graph that was captured here, beside the compiler's own."""
    _own_counts.captured_graphs += 1


@contextmanager
def compiler_folder(folder: Path) -> Iterator[None]:
    """While it lasts, the compiler keeps its own files in ``folder``."""
    before = os.environ.get(_CACHE_VARIABLE)
    os.environ[_CACHE_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CACHE_VARIABLE]
        else:
            os.environ[_CACHE_VARIABLE] = before


class ArtifactCache:
    """A folder of compiled artifacts, one folder in it for each key."""

    def __init__(self, root: Path) -> None:
        """Artifacts under ``root``; made when it is first written to."""
        self._root = root

    def folder(self, key: Mapping[str, Any]) -> Path:
        """The folder of ``key``: a name from the hash of all that artifacts depend on."""
        return self._root / hash_of_key(key)

    @contextmanager
    def using(self, key: Mapping[str, Any]) -> Iterator[None]:
        """While it lasts, the compiler reads and writes the folder of ``key``; at the end it is sealed.

        Waits while another process fills the folder.
        """
        folder = self.folder(key)
        with ExitStack() as turn:
            turn.enter_context(artifact_lock(folder))
            try:
                folder.mkdir(parents=True, exist_ok=True)
                _drop_if_changed(folder)
            except OSError as error:
                logger.warning("artifacts are not kept: %s cannot be used: %s", folder, error.strerror)
                yield
                return
            if (folder / MANIFEST).is_file():
                turn.close()  # There is nothing to fill: all may read at once.
            num_misses = compile_counts().cache_misses
            with compiler_folder(folder):
                yield
            if compile_counts().cache_misses > num_misses or not (folder / MANIFEST).is_file():
                _seal(folder)


def hash_of_key(key: Mapping[str, Any]) -> str:
    """A name from ``key`` and from what every artifact depends on."""
    text = json.dumps({**_environment_key(), **key}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def first_of_error(error: Exception) -> str:
    """The beginning of what a compiler says is wrong, in one line, without its advice on how to look closer."""
    return " ".join(str(error).split()).split(" Set TORCHDYNAMO")[0][:300]


def write_at_once(path: Path, content: bytes) -> None:
    """Writes a file under another name first, so that no other process, nor one after a crash, reads a part of it.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # an image's builder is often not its user
            os.fsync(file.fileno())
            os.replace(file.name, path)  # noqa: PTH105 - the atomic one
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise


def _environment_key() -> dict[str, str]:
    """Parts of the key that all artifacts share."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "cuda": device,
        "code": _code_hash(),
    }


_TRACED_FROM = ("graph", "prover", "policy", "evaluator")
"""Folders of ``core`` whose code shapes a tick: a change in the others leaves compiled artifacts valid."""


@cache
def _code_hash(package: Path = Path(__file__).parent.parent) -> str:
    """SHA-256 over the sources that a tick is traced from, in lower-case hexadecimal.

    Args:
        package: the folder of ``core``.
    """
    digest = hashlib.sha256()
    for path in sorted(path for folder in _TRACED_FROM for path in (package / folder).rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _listed_files(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of the files that a finished artifact consists of."""
    listed: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and MANIFEST_STEM not in path.name and not set(relative.parts) & set(_NOT_LISTED):
            listed[relative.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return listed


def _seal(folder: Path) -> None:
    """Writes the list of files, at once."""
    try:
        write_at_once(folder / MANIFEST, json.dumps(_listed_files(folder)).encode())
    except OSError as error:
        logger.warning("artifacts in %s could not be sealed: %s", folder, error.strerror)


def _drop_if_changed(folder: Path) -> None:
    """Empties a sealed folder in which a listed file is missing or changed. One not yet sealed is left alone: it is
    what a process has left that ended at work, and the compiler checks what it reads there."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return
    try:
        listed = json.loads(manifest.read_text())
        changed = [
            name
            for name, digest in listed.items()
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest
        ]
    except (OSError, ValueError, AttributeError) as error:
        changed = [f"{MANIFEST} ({error})"]
    if changed:
        logger.warning("compiled artifacts in %s are damaged (%s); they are made again", folder, changed[0])
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
