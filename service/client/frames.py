"""Rows as a pandas DataFrame, where pandas is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from service.client.errors import MissingLibraryError

if TYPE_CHECKING:
    import pandas


def frame(rows: Iterable[Mapping[str, Any]]) -> pandas.DataFrame:
    """A DataFrame of ``rows``, which all have the same keys.

    Raises:
        MissingLibraryError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingLibraryError("to_frame() needs pandas: pip install pandas") from error
    return pandas.DataFrame.from_records(list(rows))
