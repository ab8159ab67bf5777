"""A disk that has no room for one of several files."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest


def no_room_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the system refuse to write whole files of this name from now on."""
    write_bytes = Path.write_bytes

    def without_room(path: Path, content: bytes) -> int:
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", without_room)
