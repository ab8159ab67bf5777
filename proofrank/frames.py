"""Rankings as pandas DataFrames."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from proofrank.core.errors import ProofrankError

if TYPE_CHECKING:
    import pandas


def frame_of(kind: type[Any], rows: Iterable[Any]) -> pandas.DataFrame:
    """A DataFrame with a column for each field of ``kind``, a dataclass, and a row for each of ``rows``.

    Raises:
        ProofrankError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ProofrankError("to_frame() needs pandas: pip install 'proofrank[frames]'") from error
    columns = [field.name for field in dataclasses.fields(kind)]
    return pandas.DataFrame.from_records([dataclasses.astuple(row) for row in rows], columns=columns)
