"""A policy's three files, and the same policy as another epoch saves it: with other bytes, so as another policy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from urllib3.filepost import encode_multipart_formdata

_LENGTH_BYTES = 8
"""Size of the first field of a safetensors file: the length of its JSON header, which the tensors follow."""


@dataclass(frozen=True)
class Form:
    """A body of ``PUT /policies/{name}`` and its content type."""

    body: bytes
    content_type: str


@dataclass(frozen=True)
class Checkpoint:
    """The contents of the files."""

    weights: bytes
    config: bytes
    vocabulary: bytes

    @staticmethod
    def read(folder: Path) -> Checkpoint:
        """Reads the files of a checkpoint folder, by our names or those of the Hugging Face convention."""

        def read(ours: str, hub: str) -> bytes:
            path = folder / ours
            return (path if path.is_file() else folder / hub).read_bytes()

        return Checkpoint(
            read("policy.safetensors", "model.safetensors"),
            read("policy.json", "config.json"),
            (folder / "vocab.json").read_bytes(),
        )

    def of_epoch(self, epoch: int) -> Checkpoint:
        """Returns the same weights with the number of the epoch in their metadata."""
        start = _LENGTH_BYTES + int.from_bytes(self.weights[:_LENGTH_BYTES], "little")
        header = json.loads(self.weights[_LENGTH_BYTES:start])
        header["__metadata__"] = {**header.get("__metadata__", {}), "epoch": str(epoch)}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % _LENGTH_BYTES)  # tensors begin at a multiple of eight
        weights = len(text).to_bytes(_LENGTH_BYTES, "little") + text + self.weights[start:]
        return Checkpoint(weights, self.config, self.vocabulary)

    def form(self) -> Form:
        """Returns the files as a multipart form."""
        body, content_type = encode_multipart_formdata(
            {
                "weights": ("policy.safetensors", self.weights),
                "config": ("policy.json", self.config),
                "vocabulary": ("vocab.json", self.vocabulary),
            }
        )
        return Form(body, content_type)
