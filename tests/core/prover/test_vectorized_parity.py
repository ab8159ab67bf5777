"""The vectorised evaluator against recorded evaluations: every candidate of each recording.

With the compiler, one recording of nations, umls and wn18rr; countries_s3 and family are in ``test_parity_datasets``,
in every mode.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from _pytest.mark import ParameterSet

from proofrank.core.evaluator import ReferenceEvaluator
from proofrank.core.evaluator.compiled import CompiledEvaluator
from proofrank.core.evaluator.modes import Mode
from proofrank.core.evaluator.options import EvaluatorOptions
from proofrank.core.evaluator.recordings import read_recording
from proofrank.core.evaluator.replay import replay
from proofrank.core.evaluator.tick import HalvedTick, TrimmedTick, WholeTick
from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy
from tests.helpers.datasets import SHARED

FOLDERS = tuple(sorted(path.name for path in (SHARED / "truth").glob("*") if path.is_dir()))

pytestmark = pytest.mark.skipif(not FOLDERS, reason=f"no recorded evaluations: {SHARED / 'truth'} is missing")


QUICK = {
    "nations-seed0": ("trimming", "static", "halves"),
    "countries_s3-seed1-skip-unary": ("trimming", "static", "halves"),
    "countries_s3-seed0": ("trimming",),
    "umls-seed0": ("trimming",),
    "family-seed0": ("trimming",),
}
"""Kinds of buffers for which a recording takes only a few seconds, or is always tested."""


def parity_cases() -> list[ParameterSet]:
    """Returns every recording with all kinds of buffers, freely and along its actions; most are slow."""
    return [
        pytest.param(
            folder,
            kind,
            way == "along-recorded-actions",
            id=f"{folder}-{kind}-{way}",
            marks=[] if way == "freely" and kind in QUICK.get(folder, ()) else [pytest.mark.slow],
        )
        for folder in FOLDERS or [""]
        for kind in ("trimming", "static", "halves")
        for way in ("freely", "along-recorded-actions")
    ]


@pytest.mark.parametrize(("folder", "kind", "is_following"), parity_cases())
def test_eager_gives_every_recorded_outcome_but_behind_near_ties(
    folder: str,
    is_following: bool,
    kind: str,
    shared_truth: Path,
    shared_data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mode = dataclasses.replace(
        Mode.of("eager", fullgraph=True, device=torch.device("cpu")),
        tick={"trimming": TrimmedTick, "static": WholeTick, "halves": HalvedTick}[kind],
    )
    monkeypatch.setattr(Mode, "of", lambda *_, **__: mode)

    assert_is_the_recording(shared_truth / folder, shared_data, is_following=is_following)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["nations-seed0", "umls-seed0", "wn18rr-seed0"])
def test_a_compiled_tick_gives_every_recorded_outcome_but_behind_near_ties(
    folder: str, shared_truth: Path, shared_data: Path, tmp_path: Path
) -> None:
    evaluator = assert_is_the_recording(
        shared_truth / folder,
        shared_data,
        is_following=False,
        compile_mode="default",
        options=EvaluatorOptions(buckets=(64,), cache_folder=tmp_path),
    )

    assert evaluator.engine == "default", "it went on without the compiler"


def assert_is_the_recording(
    folder: Path,
    data: Path,
    *,
    is_following: bool,
    compile_mode: str = "eager",
    options: EvaluatorOptions | None = None,
) -> CompiledEvaluator:
    """Replays the recording in ``folder`` by an evaluator with ``options``, and returns the replay."""
    recording = read_recording(folder)
    dataset = load_dataset(data / recording.dataset)
    policy = load_policy(recording.folder, dataset)
    evaluator = CompiledEvaluator(
        dataset, policy, recording.settings, options or EvaluatorOptions(), compile_mode=compile_mode
    )
    reference = ReferenceEvaluator(dataset, policy, recording.settings)

    comparisons = replay(recording, dataset, evaluator, reference, is_following=is_following)

    assert len(comparisons) == len(recording.candidates) > 0
    excused = [] if is_following else [one.candidate for one in comparisons if one.is_excused]
    wrong = [one for one in comparisons if one.difference and one.candidate not in excused]
    assert not wrong, [(one.candidate.names, one.difference) for one in wrong[:5]]
    return evaluator
