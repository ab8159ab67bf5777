"""The folder of an embedding: ``embedding.safetensors`` and ``config.json``.

``config.json`` holds ``format``, ``interaction``, ``options``, ``entities``, ``relations`` and ``notes``. The names
stand in the order of the rows of the tensors. Where a module of PyKEEN's computes the interaction, ``checks`` holds
scores that it must give.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from proofrank.core.embedding.embedding import CheckedScore, Embedding, make_embedding
from proofrank.core.embedding.pykeen_options import PYKEEN_INTERACTIONS
from proofrank.core.errors import EmbeddingError, shown

FORMAT = "proofrank-embedding-1"
WEIGHTS_FILE = "embedding.safetensors"
CONFIG_FILE = "config.json"

MOST_WEIGHT_BYTES = 8 << 30
"""Maximum size of the tensors of an embedding in bytes."""

MOST_JSON_BYTES = 1 << 30
"""Maximum size of a file of names in bytes; a million names need about 50 million."""


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a file. Raises EmbeddingError where it cannot be read or has more than ``limit`` bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise EmbeddingError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise EmbeddingError(f"{path}: larger than {limit} bytes")
    return content


def read_json(content: bytes, path: Path) -> dict[str, Any]:
    """The JSON object in ``content``. Raises EmbeddingError where it is none."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise EmbeddingError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise EmbeddingError(f"{path}: a JSON {type(value).__name__}; expected an object")
    return value


def content_hash(*contents: bytes) -> str:
    """The hash of several files."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def read_folder(folder: Path) -> Embedding:
    """Reads an embedding of the form of this module.

    Raises:
        EmbeddingError: a file is missing or bad; names it.
    """
    config_bytes = read_bytes(folder / CONFIG_FILE, MOST_JSON_BYTES)
    fields = read_json(config_bytes, folder / CONFIG_FILE)
    if fields.get("format") != FORMAT:
        raise EmbeddingError(
            f"{folder / CONFIG_FILE}: 'format' is {shown(fields.get('format'))}; expected {FORMAT!r}"
        )
    if not isinstance(interaction := fields.get("interaction", ""), str):
        raise EmbeddingError(
            f"{folder / CONFIG_FILE}: 'interaction' is {shown(interaction)}; expected the name of one, such as "
            "'DistMult'"
        )
    weight_bytes = read_bytes(folder / WEIGHTS_FILE, MOST_WEIGHT_BYTES)
    try:
        tensors = load_tensors(weight_bytes)
    except SafetensorError as error:
        raise EmbeddingError(f"{folder / WEIGHTS_FILE}: not a safetensors file: {error}") from error
    for key in ("entities", "relations"):
        value = fields.get(key)
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise EmbeddingError(f"{folder / CONFIG_FILE}: {key!r} is no list of names")
    for key in ("options", "notes"):
        if not isinstance(fields.setdefault(key, {}), dict):
            raise EmbeddingError(
                f"{folder / CONFIG_FILE}: {key!r} is {shown(fields[key])}; expected an object"
            )
    checks = fields.get("checks", [])
    if not isinstance(checks, list) or (interaction in PYKEEN_INTERACTIONS and not checks):
        raise EmbeddingError(
            f"{folder / CONFIG_FILE}: 'checks' is {shown(checks)}; expected scores that the interaction must give"
        )
    try:
        return make_embedding(
            name=folder.resolve().name,
            content_hash=content_hash(weight_bytes, config_bytes),
            interaction=interaction,
            options=fields["options"],
            tensors=tensors,
            entities=fields["entities"],
            relations=fields["relations"],
            notes=fields["notes"],
            checks=checks,
        )
    except EmbeddingError as error:
        raise EmbeddingError(f"{folder}: {error}") from error


def write_folder(
    folder: Path,
    *,
    interaction: str,
    options: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    entities: Sequence[str],
    relations: Sequence[str],
    notes: Mapping[str, Any] | None = None,
    checks: Sequence[CheckedScore] = (),
    overwrite: bool = False,
) -> Embedding:
    """Writes an embedding that :func:`read_folder` reads, and returns it; see :class:`Embedding` for its parts.

    Raises:
        EmbeddingError: a part is wrong, ``folder`` holds an embedding and ``overwrite`` is false, or it cannot be
            written.
    """
    if not overwrite and (folder / WEIGHTS_FILE).exists():
        raise EmbeddingError(f"{folder}: holds an embedding; expected an empty or a new folder")
    checked = make_embedding(
        name=folder.name,
        content_hash="",
        interaction=interaction,
        options=options,
        tensors=tensors,
        entities=entities,
        relations=relations,
        notes=notes,
        checks=checks,
    )
    fields = {
        "format": FORMAT,
        "interaction": interaction,
        "options": dict(checked.options),
        "entities": list(entities),
        "relations": list(relations),
        "notes": dict(notes or {}),
        **({"checks": [list(check) for check in checks]} if checks else {}),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.contiguous().clone() for name, tensor in checked.tensors.items()}
        (folder / WEIGHTS_FILE).write_bytes(save_tensors(weights))
        (folder / CONFIG_FILE).write_text(
            json.dumps(fields, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise EmbeddingError(f"{folder}: cannot be written: {error.strerror}") from error
    return read_folder(folder)
