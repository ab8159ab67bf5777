"""Keeps calibrations beside the compiled artifacts, so that a restart has the same buffers, and finds its artifacts.

One JSON file each, named by a hash of all that a calibration depends on but the weights of the policy: another policy
of the same shape goes into the same buffers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from proofrank.core.evaluator.artifacts import hash_of_key
from proofrank.core.evaluator.calibration import Calibration, calibrate
from proofrank.core.evaluator.capacities import Demand
from proofrank.core.evaluator.kept_json import kept_or_found
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy
from proofrank.core.prover import ProverSettings


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
        # Timings of two processes differ, and what is compiled depends on them: one of them calibrates.
        return kept_or_found(
            path,
            "calibration",
            lambda fields: Calibration(
                Demand(**fields["demand"]), fields["ticks_per_look"], tuple(fields["buckets"])
            ),
            lambda: calibrate(dataset, policy, settings, device, precision=precision, buckets=buckets),
            dataclasses.asdict,
        )
