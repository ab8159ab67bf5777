"""Reads what a run of Weights & Biases has logged without a network, by the messages of that library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FILE_HEADER = 7
_HEADER = 7
_BLOCK = 32768
_ENDS_RECORD = (1, 4)
"""Kinds of chunks that end a record: a whole one, and a last part."""


def logged_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of the one run below ``folder``, in order, by name; without those that W&B adds to each."""
    rows = []
    for record in _records(folder):
        if record.WhichOneof("record_type") == "history":
            items = {
                item.key or ".".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            rows.append({name: value for name, value in items.items() if not name.startswith("_")})
    return rows


def exit_code(folder: Path) -> int:
    """The exit code of the one run below ``folder``, which must have been finished."""
    (code,) = [
        record.exit.exit_code for record in _records(folder) if record.WhichOneof("record_type") == "exit"
    ]
    return code


def _records(folder: Path) -> list[Any]:
    import wandb  # pyright: ignore[reportMissingImports]
    from wandb.proto import wandb_internal_pb2  # pyright: ignore[reportMissingImports]

    wandb.teardown()  # the end of a run does not wait for its file; the end of W&B's process does
    (file,) = folder.rglob("run-*.wandb")
    record_of: Any = getattr(wandb_internal_pb2, "Record").FromString  # noqa: B009 - made at run time
    return [record_of(message) for message in _messages(file.read_bytes())]


def _messages(content: bytes) -> Iterator[bytes]:
    """The messages of a file in LevelDB's format of logs: blocks of chunks, each a checksum, a length and a kind."""
    place, message = _FILE_HEADER, b""
    while place + _HEADER <= len(content):
        left = _BLOCK - place % _BLOCK
        if left < _HEADER:
            place += left
            continue
        size, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        place += _HEADER
        message += content[place : place + size]
        place += size
        if kind in _ENDS_RECORD:
            yield message
            message = b""
