"""Keeps calibrations beside the compiled artifacts, so that a restart has the same buffers, and finds its artifacts.

One JSON file each, named by a hash of all that a calibration depends on but the weights of the policy: another policy
of the same shape goes into the same buffers. A file that says nothing sensible is dropped with a warning.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from proofrank.core.errors import EvaluationError
from proofrank.core.evaluator.artifact_lock import artifact_lock
from proofrank.core.evaluator.artifacts import hash_of_key, write_at_once
from proofrank.core.evaluator.calibration import Calibration, calibrate
from proofrank.core.evaluator.capacities import Demand
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import ProverSettings

logger = logging.getLogger("proofrank")

_MOST_BYTES = 2**16


class CalibrationStore:
    """A folder of calibrations."""

    def __init__(self, root: Path) -> None:
        """Calibrations in ``root``; made when it is first written to."""
        self._root = root

    def calibrated(
        self,
        dataset: Dataset,
        policy: Policy,
        settings: ProverSettings,
        device: torch.device,
        *,
        precision: str,
        buckets: Sequence[int] | None,
    ) -> Calibration:
        """The calibration that is kept for these arguments, or a new one, which is kept; see
        :func:`proofrank.core.evaluator.calibration.calibrate`. Waits where another process is making it."""
        key = {
            "kind": "calibration",
            "dataset": dataset.content_hash,
            "settings": settings,
            "network": policy.shape,
            "device": device,
            "precision": precision,
            "buckets": None if buckets is None else tuple(buckets),
        }
        path = self._root / f"calibration-{hash_of_key(key)}.json"
        # Timings of two processes differ, and what is compiled depends on them.
        with artifact_lock(path):
            kept = _read(path)
            if kept is not None:
                return kept
            made = calibrate(dataset, policy, settings, device, precision=precision, buckets=buckets)
            _write(path, made)
            return made


def _read(path: Path) -> Calibration | None:
    """Reads the calibration in ``path``; None if there is none, with a warning if the file holds something else."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"larger than {_MOST_BYTES} bytes")
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Calibration(Demand(**fields["demand"]), fields["ticks_per_look"], tuple(fields["buckets"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, EvaluationError) as error:
        logger.warning("calibration %s is damaged (%s); it is made again", path, error)
        return None


def _write(path: Path, calibration: Calibration) -> None:
    """Writes ``calibration`` to ``path``, where that is possible."""
    try:
        write_at_once(path, json.dumps(dataclasses.asdict(calibration), indent=1).encode())
    except OSError as error:
        logger.warning("the calibration is not kept: %s cannot be used: %s", path.parent, error.strerror)
