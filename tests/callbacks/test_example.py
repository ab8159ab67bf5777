"""The example program: a training loop of the countries that stops early and keeps the best policy."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

import proofrank
from proofrank.core.default import DATASET
from tests.helpers.serving import REPOSITORY, clean_environment


def test_the_example_trains_logs_and_keeps_a_policy_with_the_best_metrics(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "examples.validation", "--out", str(tmp_path), "--epochs", "4"],
        cwd=REPOSITORY,
        env=clean_environment(),
        check=True,
    )
    with (tmp_path / "valid.csv").open(newline="") as file:
        mrrs = [float(row["mrr"]) for row in csv.DictReader(file)]
    assert len(mrrs) == 4
    countries = proofrank.load_dataset(DATASET)
    best = proofrank.load_policy(tmp_path / "best", countries)
    again = proofrank.evaluate(countries, best, split="valid", side="tail", corruptions="all")
    assert again.metrics.mrr == pytest.approx(max(mrrs), abs=1e-9)
