"""Uploads for the tests of policies: the files of a checkpoint folder under their names in the API."""

from __future__ import annotations

from pathlib import Path

Files = dict[str, bytes]


def files_of(folder: Path) -> Files:
    """Returns the parts of an upload."""
    return {
        "weights": (folder / "policy.safetensors").read_bytes(),
        "config": (folder / "policy.json").read_bytes(),
        "vocabulary": (folder / "vocab.json").read_bytes(),
    }


def multipart(files: Files, boundary: str = "boundary") -> bytes:
    """Makes a body of these parts by hand."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="file"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files.items()
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def multipart_type(boundary: str = "boundary") -> dict[str, str]:
    """Returns the header of such a body."""
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}
