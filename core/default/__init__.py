"""What is there without any setting: a small graph of countries, and a policy that was trained for it."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent

DATASET = _FOLDER / "countries"
"""A dataset folder, made by ``python -m proofrank.training.make_countries``."""

POLICY = _FOLDER / "policy"
"""A checkpoint folder, made by ``python -m proofrank.training.train`` for that dataset."""
