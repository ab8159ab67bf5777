"""Parquet by pyarrow, which is imported only when needed, because it is large and few need it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from proofrank.core.errors import ProofrankError
from proofrank.service.storage.data_folder import sync_folder


class ParquetMissingError(ProofrankError):
    """The library that reads and writes Parquet is not installed."""


def require_pyarrow() -> tuple[Any, Any]:
    """Returns the modules ``pyarrow`` and ``pyarrow.parquet``.

    Raises:
        ParquetMissingError: they are not installed.
    """
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ParquetMissingError("Parquet needs pyarrow: pip install 'proofrank[parquet]'") from error


def schema_of(columns: Mapping[str, type]) -> Any:
    """Returns the schema of ``columns``, which map names to types: int, float, str or bool."""
    arrow, _ = require_pyarrow()
    types = {int: arrow.int64(), float: arrow.float64(), str: arrow.string(), bool: arrow.bool_()}
    return arrow.schema([(name, types[kind]) for name, kind in columns.items()])


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, type]) -> None:
    """Writes ``rows`` to ``path``, completely or not at all; ``columns`` as in :func:`schema_of`.

    A kill may leave a file of the same name with a dot before it. A file at ``path`` survives a power cut.
    """
    arrow, parquet = require_pyarrow()
    # Readers of the folder ignore names that begin with a dot.
    scratch = path.with_name(f".{path.name}")
    with scratch.open("wb") as file:
        parquet.write_table(arrow.Table.from_pylist(list(rows), schema=schema_of(columns)), file)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    sync_folder(path.parent)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of ``path``. Raises ValueError or OSError if it is no Parquet file."""
    _, parquet = require_pyarrow()
    return parquet.read_table(path).to_pylist()
