"""The vectorised evaluator without a compiler against recorded evaluations: every candidate of each recording."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from core.evaluator import OriginalEvaluator
from core.evaluator.compiled import CompiledEvaluator
from core.evaluator.modes import Mode
from core.evaluator.recordings import read_recording
from core.evaluator.replay import replay
from core.graph import load_dataset
from core.policy import load_policy
from tests.conftest import SHARED

FOLDERS = tuple(sorted(path.name for path in (SHARED / "truth").glob("*") if path.is_dir()))

pytestmark = pytest.mark.skipif(not FOLDERS, reason=f"no recorded evaluations: {SHARED / 'truth'} is missing")


@pytest.mark.parametrize("is_following", [False, True], ids=["freely", "along-recorded-actions"])
@pytest.mark.parametrize("is_trimming", [True, False], ids=["trimming", "static"])
@pytest.mark.parametrize("folder", FOLDERS or [""])
def test_eager_gives_every_recorded_outcome_but_behind_near_ties(
    folder: str,
    is_following: bool,
    is_trimming: bool,
    shared_truth: Path,
    shared_data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mode = dataclasses.replace(
        Mode.of("eager", fullgraph=True, device=torch.device("cpu")), is_trimming=is_trimming
    )
    monkeypatch.setattr(Mode, "of", lambda *_, **__: mode)
    recording = read_recording(shared_truth / folder)
    dataset = load_dataset(shared_data / recording.dataset)
    policy = load_policy(recording.folder, dataset)
    evaluator = CompiledEvaluator(dataset, policy, recording.settings, compile_mode="eager")
    reference = OriginalEvaluator(dataset, policy, recording.settings)

    comparisons = replay(recording, dataset, evaluator, reference, is_following=is_following)

    assert len(comparisons) == len(recording.candidates) > 0
    excused = [] if is_following else [one.candidate for one in comparisons if one.is_excused]
    wrong = [one for one in comparisons if one.difference and one.candidate not in excused]
    assert not wrong, [(one.candidate.names, one.difference) for one in wrong[:5]]
