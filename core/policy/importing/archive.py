"""Reads the tensors of a file that ``torch.save`` or Stable-Baselines3 wrote, and nothing else of it.

Both are zip archives. An archive is checked before torch sees it: its size, its members, that none is compressed, and
which classes its pickle names. Then ``torch.load`` with ``weights_only=True`` reads it, which runs no code of the file.
Of a Stable-Baselines3 archive only the member ``policy.pth`` is read; ``data``, which holds pickled objects, never is.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from proofrank.core.errors import PolicyError, shown

MAX_ARCHIVE_BYTES = 8 << 30
"""Maximum size of a checkpoint file in bytes."""

MAX_PICKLE_BYTES = 4 << 20
"""Maximum size in bytes of the pickle that lists the tensors of a file; 1,000 tensors need about 200,000."""

MAX_MEMBERS = 20_000
"""Maximum number of members of an archive; a state dict has one for each storage and about five more."""

_NETWORK_MEMBER = "policy.pth"
_SB3_MEMBER = re.compile(r"data|[\w.-]+\.pth|_stable_baselines3_version|system_info\.txt")
_TORCH_MEMBER = re.compile(
    r"(?P<root>[^/]+)/(?:data\.pkl|byteorder|version|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id|data/(?P<storage>\d+))"
)
_KNOWN_GLOBALS = {
    "collections OrderedDict",
    "torch FloatStorage",
    "torch HalfStorage",
    "torch BFloat16Storage",
    "torch DoubleStorage",
    "torch LongStorage",
    "torch IntStorage",
    "torch BoolStorage",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
}

_UNREADABLE = (
    zipfile.BadZipFile, ValueError, OverflowError, EOFError, NotImplementedError, RuntimeError, OSError, struct.error,
)  # fmt: skip
"""Errors that zipfile raises for a damaged archive."""


@dataclass(frozen=True)
class StateDict:
    """The tensors of a checkpoint file.

    Attributes:
        tensors: name -> tensor, on the CPU, in the order of the file; each lies within its storage.
        storages: name -> number of its storage; tensors with one number share their memory.
        is_sb3: whether it was the ``policy.pth`` of a Stable-Baselines3 archive.
        within: key under which it stood in a dictionary with other things, such as ``state_dict``; None if it is all
            that the file holds.
    """

    tensors: dict[str, Tensor]
    storages: dict[str, int]
    is_sb3: bool
    within: str | None = None

    @property
    def num_storages(self) -> int:
        """Number of different storages."""
        return len(set(self.storages.values()))


def read_state_dict(path: Path | str, shown_as: str | None = None) -> StateDict:
    """Reads the state dict in ``path``, which errors call ``shown_as``, or by its path.

    Raises:
        PolicyError: the file cannot be read, is too large, is no such archive, or holds anything but tensors by name.
    """
    source = shown_as if shown_as is not None else f"{path}"
    content = _read(Path(path), source)
    with _opened(content, source) as archive:
        names = _checked_names(archive, len(content), source)
        is_sb3 = _NETWORK_MEMBER in names
        if not is_sb3:
            return _load(archive, content, source, is_sb3=False)
        for name in names:
            if not _SB3_MEMBER.fullmatch(name):
                raise PolicyError(
                    f"{source}: unexpected member {shown(name)}; expected a Stable-Baselines3 archive with "
                    "data, policy.pth, policy.optimizer.pth, pytorch_variables.pth and two text files"
                )
        inner = _member(archive, _NETWORK_MEMBER, source)
    where = f"{source}: {_NETWORK_MEMBER}"
    with _opened(inner, where) as archive:
        _checked_names(archive, len(inner), where)
        return _load(archive, inner, where, is_sb3=True)


def _read(path: Path, where: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_ARCHIVE_BYTES + 1)
    except OSError as error:
        raise PolicyError(f"{where}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_ARCHIVE_BYTES:
        raise PolicyError(f"{where}: larger than {MAX_ARCHIVE_BYTES >> 30} GiB; expected a checkpoint")
    return content


def _opened(content: bytes, where: str) -> zipfile.ZipFile:
    if not content.startswith(b"PK\x03\x04"):
        raise PolicyError(
            f"{where}: no zip archive; expected a state dict that torch.save of torch 1.6 or newer wrote "
            "(save it again with torch.save(policy.state_dict(), path)), or a .zip of Stable-Baselines3"
        )
    try:
        return zipfile.ZipFile(io.BytesIO(content))
    except _UNREADABLE as error:
        raise PolicyError(
            f"{where}: damaged zip archive ({error}); expected a whole checkpoint file"
        ) from error


def _checked_names(archive: zipfile.ZipFile, num_bytes: int, where: str) -> set[str]:
    """Returns the names of the members of ``archive``, whose sizes can be trusted after this."""
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise PolicyError(f"{where}: {len(members)} members; expected at most {MAX_MEMBERS}")
    names: set[str] = set()
    for member in members:
        name = member.filename
        if name in names:
            raise PolicyError(f"{where}: two members are named {shown(name)}; expected each name once")
        names.add(name)
        if member.flag_bits & 0x1:
            raise PolicyError(f"{where}: member {shown(name)} is encrypted; expected plain members")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise PolicyError(
                f"{where}: member {shown(name)} is compressed ({member.compress_size} bytes for {member.file_size}); "
                "torch and Stable-Baselines3 store members as they are"
            )
    total = sum(member.file_size for member in members)
    if total > num_bytes:
        raise PolicyError(
            f"{where}: its members claim {total} bytes of a file of {num_bytes}; expected members that do not overlap"
        )
    return names


def _load(archive: zipfile.ZipFile, content: bytes, where: str, *, is_sb3: bool) -> StateDict:
    """Reads the tensors of one torch archive whose names and sizes were checked."""
    sizes = _storage_sizes(archive, where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True, mmap=False)
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, KeyError, EOFError) as error:
        raise PolicyError(f"{where}: {_first_line(error)}; expected a state dict of tensors") from error
    except (AttributeError, IndexError, OverflowError, MemoryError, AssertionError) as error:
        raise PolicyError(
            f"{where}: damaged ({_first_line(error)}); expected a state dict of tensors"
        ) from error
    return _checked_state_dict(value, sizes, where, is_sb3=is_sb3)


def _storage_sizes(archive: zipfile.ZipFile, where: str) -> list[int]:
    """Checks the members of a torch archive; returns the sizes of its storages in bytes, ascending."""
    roots: set[str] = set()
    sizes: list[int] = []
    pickle_name = ""
    for member in archive.infolist():
        match = _TORCH_MEMBER.fullmatch(member.filename)
        if match is None:
            raise PolicyError(
                f"{where}: unexpected member {shown(member.filename)}; expected data.pkl, data/0, data/1, … as "
                "torch.save(policy.state_dict(), path) writes them"
            )
        roots.add(match["root"])
        if match["storage"] is not None:
            sizes.append(member.file_size)
        elif member.filename.endswith("/data.pkl"):
            pickle_name = member.filename
            if member.file_size > MAX_PICKLE_BYTES:
                raise PolicyError(
                    f"{where}: {member.filename} has {member.file_size} bytes; expected at most {MAX_PICKLE_BYTES}"
                )
        elif member.file_size > 64:
            raise PolicyError(
                f"{where}: {shown(member.filename)} has {member.file_size} bytes; expected a few"
            )
    if len(roots) != 1 or not pickle_name:
        raise PolicyError(f"{where}: no data.pkl in one folder; expected a file that torch.save wrote")
    byteorder = f"{roots.pop()}/byteorder"  # torch before 2.1 wrote none, on little-endian machines
    if byteorder in archive.namelist() and _member(archive, byteorder, where) != b"little":
        raise PolicyError(f"{where}: written on a big-endian machine; expected little-endian numbers")
    _check_pickle(_member(archive, pickle_name, where), where)
    return sorted(sizes)


def _member(archive: zipfile.ZipFile, name: str, where: str) -> bytes:
    """Reads a member whose size was checked."""
    try:
        return archive.read(name)
    except _UNREADABLE as error:
        raise PolicyError(f"{where}: member {shown(name)} is damaged ({_first_line(error)})") from error


def _check_pickle(content: bytes, where: str) -> None:
    """Refuses a pickle that names any class or function beyond those of a state dict; runs nothing of it."""
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"):
                raise PolicyError(
                    f"{where}: its pickle uses {opcode.name}; expected a state dict of tensors alone "
                    "(torch.save(policy.state_dict(), path)), not a whole module or other objects"
                )
            if opcode.name == "GLOBAL" and argument not in _KNOWN_GLOBALS:
                raise PolicyError(
                    f"{where}: its pickle names {shown(str(argument).replace(' ', '.'))}; expected a state dict of "
                    "tensors alone (torch.save(policy.state_dict(), path)), not a whole module or other objects"
                )
    except (ValueError, UnicodeDecodeError, OverflowError) as error:
        raise PolicyError(f"{where}: data.pkl is damaged: {_first_line(error)}") from error


def _checked_state_dict(value: object, sizes: list[int], where: str, *, is_sb3: bool) -> StateDict:
    if not isinstance(value, Mapping):
        raise PolicyError(
            f"{where}: holds a {type(value).__name__}; expected a state dict of tensors by name"
        )
    within, chosen = _state_dict_in(value, where)
    tensors: dict[str, Tensor] = {}
    numbers: dict[int, int] = {}
    storages: dict[str, int] = {}
    bytes_of: dict[int, int] = {}

    def number_of(tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        key = storage.data_ptr() if storage.nbytes() else -len(numbers) - 1
        number = numbers.setdefault(key, len(numbers))
        bytes_of[number] = storage.nbytes()
        return number

    for name, tensor in chosen.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise PolicyError(
                f"{where}: {shown(name)} is a {type(tensor).__name__}; expected a state dict of tensors by name, or "
                "one under a key such as 'state_dict'"
            )
        if tensor.layout != torch.strided or not tensor.is_contiguous():
            raise PolicyError(
                f"{where}: {shown(name)} is not contiguous; expected tensors as a module holds them"
            )
        tensors[name], storages[name] = tensor.detach(), number_of(tensor)
    if not tensors:
        raise PolicyError(f"{where}: holds no tensor; expected a state dict")
    if within is not None:
        for tensor in _tensors_beside(value, chosen):
            number_of(tensor)
    # A pickle that claims a larger storage than its member would have torch read behind the member.
    if sorted(bytes_of.values()) != sizes:
        raise PolicyError(
            f"{where}: its tensors have storages of {sum(bytes_of.values())} bytes, its members {sum(sizes)}; expected "
            "the same"
        )
    return StateDict(tensors, storages, is_sb3, within)


def _state_dict_in(value: Mapping[Any, Any], where: str) -> tuple[str | None, Mapping[Any, Any]]:
    """The state dict in what a file holds, and its key: all of it, or the only one beside numbers of epochs,
    optimisers and the like, as training loops and PyTorch Lightning save it.

    Raises:
        PolicyError: there are several.
    """
    # A loss may be a tensor beside the state dict. The names of a network have dots.
    if any(isinstance(part, Tensor) and "." in str(name) for name, part in value.items()):
        return None, value
    found = [
        name
        for name, part in value.items()
        if isinstance(name, str)
        and isinstance(part, Mapping)
        and part
        and all(isinstance(tensor, Tensor) for tensor in part.values())
    ]
    if len(found) > 1:
        raise PolicyError(
            f"{where}: holds {len(found)} state dicts, {', '.join(shown(name) for name in found[:5])}; expected one: "
            "save that of the policy alone, torch.save(policy.state_dict(), path)"
        )
    return (found[0], value[found[0]]) if found else (None, value)


def _tensors_beside(value: Mapping[Any, Any], chosen: Mapping[Any, Any]) -> Iterator[Tensor]:
    """All tensors in a file's value but those of ``chosen``, whatever holds them; each container is looked at once."""
    seen = {id(chosen)}
    left: list[Any] = [value]
    while left:
        part = left.pop()
        if isinstance(part, Tensor):
            yield part
        elif isinstance(part, (Mapping, list, tuple, set)) and id(part) not in seen:
            seen.add(id(part))
            left.extend(part.values() if isinstance(part, Mapping) else part)


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
