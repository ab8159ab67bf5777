"""The state of a ranking to a tolerance as bytes, for a job that goes on after a restart."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping

import numpy as np
import torch

from proofrank._version import __version__
from proofrank.service.settings.settings import Settings

_FORMAT = 1


class UnreadableStateError(Exception):
    """The bytes are no state."""


def write_state(state: Mapping[str, np.ndarray]) -> bytes:
    """The columns of :meth:`proofrank.core.ranking.Refinement.state` as bytes."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **dict(state))
    return file.getvalue()


def read_state(content: bytes) -> dict[str, np.ndarray]:
    """The columns that were written. Raises UnreadableStateError."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as columns:
            return {name: columns[name] for name in columns.files}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableStateError(str(error)) from error


def origin_of(settings: Settings, engine: str, prover_json: str | None) -> str:
    """What a state was found out with, as text: under the same, candidates get the same bits and orders are the same.

    A positive's score is compared with those of its corruptions, so all must come from one prover and one arithmetic.

    Args:
        settings: of the service.
        engine: that proves.
        prover_json: settings of the prover; None where nothing is proved.
    """
    has_cuda = torch.cuda.is_available()
    origin = {
        "format": _FORMAT,
        "proofrank": __version__,
        "numpy": np.__version__,
        "torch": torch.__version__,
        "engine": engine,
        "prover": prover_json,
        "device": settings.device,
        "precision": settings.precision,
        "threads": settings.threads,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.cuda.get_device_name() if has_cuda else None,
    }
    return json.dumps(origin, sort_keys=True)
