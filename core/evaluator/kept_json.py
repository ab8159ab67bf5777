"""Small answers that take long to find out, each in a JSON file beside the compiled artifacts.

Of processes that need one together, one finds it out and the others wait. A file that says nothing sensible is found
anew, with a warning; a folder that cannot be written to is a warning too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.artifact_lock import artifact_lock
from proofrank.core.evaluator.artifacts import write_at_once

logger = logging.getLogger("proofrank")

_MOST_BYTES = 2**16

T = TypeVar("T")


def kept_or_found(
    path: Path, what: str, parse: Callable[[Any], T], find: Callable[[], T], to_json: Callable[[T], Any]
) -> T:
    """The answer in ``path``, or a new one, which is kept there; waits where another process finds it out.

    Args:
        path: file of the answer.
        what: what it is, for warnings, such as ``calibration``.
        parse: makes the answer of the JSON; see :func:`read_kept`.
        find: finds it out, and may raise what it likes.
        to_json: makes JSON of the answer.
    """
    with artifact_lock(path):
        kept = read_kept(path, what, parse)
        if kept is not None:
            return kept
        found = find()
        try:
            write_at_once(path, json.dumps(to_json(found), indent=1).encode())
        except OSError as error:
            logger.warning("the %s is not kept: %s cannot be used: %s", what, path.parent, error.strerror)
        return found


def read_kept(path: Path, what: str, parse: Callable[[Any], T]) -> T | None:
    """The answer in ``path``; None if there is none, with a warning if the file holds something else.

    Args:
        path: file of the answer.
        what: what it is, for the warning.
        parse: makes the answer of the JSON; raises KeyError, TypeError, ValueError or EvaluationError if it is none.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"larger than {_MOST_BYTES} bytes")
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, EvaluationError) as error:
        logger.warning("%s %s is damaged (%s); it is made again", what, path, error)
        return None
