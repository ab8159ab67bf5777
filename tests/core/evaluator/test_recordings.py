"""The reference against recorded evaluations of another evaluator: every candidate of each recording.

A recorded candidate binds success (where that was recorded), steps, actions, log-probability, trace: freely
where its trajectory passes no near tie, and along its recorded actions everywhere. The recorded ranks and
metrics follow from the recorded outcomes.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from proofrank.core.errors import DatasetError
from proofrank.core.evaluator.recordings import Recording, read_recording
from proofrank.core.evaluator.replay import Comparison, log_probability_tolerance, replay
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.ranking import SIDES, rank_as_deepprooflog
from tests.helpers.datasets import SHARED
from tests.helpers.remembering import RememberingReference

FOLDERS = tuple(sorted(path.name for path in (SHARED / "truth").glob("*") if path.is_dir()))

pytestmark = pytest.mark.skipif(not FOLDERS, reason=f"no recorded evaluations: {SHARED / 'truth'} is missing")


class Replayed:
    """A recording with the graph and the evaluator that it is compared with.

    Free and forced trajectories share most states, and those with a trace are run twice: the evaluator remembers them.
    """

    def __init__(self, recording: Recording, dataset: Dataset) -> None:
        self.recording = recording
        self.dataset = dataset
        policy = load_policy(recording.folder, dataset)
        self.evaluator = RememberingReference(dataset, policy, recording.settings)

    def replay(self, *, is_following: bool = False) -> list[Comparison]:
        return replay(self.recording, self.dataset, self.evaluator, self.evaluator, is_following=is_following)


# Module scope: the last one is dropped before the next is made, so that one graph is in memory at a time.
@pytest.fixture(scope="module", params=FOLDERS or [""])
def replayed(request: pytest.FixtureRequest, shared_truth: Path, shared_data: Path) -> Replayed:
    recording = read_recording(shared_truth / request.param)
    return Replayed(recording, load_dataset(shared_data / recording.dataset))


def test_a_free_run_gives_every_recorded_outcome_but_behind_near_ties(replayed: Replayed) -> None:
    comparisons = replayed.replay()

    assert len(comparisons) == len(replayed.recording.candidates)
    wrong = [comparison for comparison in comparisons if comparison.difference and not comparison.is_excused]
    assert not wrong, describe(wrong)
    for comparison in comparisons:
        if not comparison.candidate.is_near_tie:
            assert_same_outcome(comparison)


def test_along_the_recorded_actions_every_outcome_is_the_recorded_one(replayed: Replayed) -> None:
    comparisons = replayed.replay(is_following=True)

    assert len(comparisons) == len(replayed.recording.candidates)
    wrong = [comparison for comparison in comparisons if comparison.difference]
    assert not wrong, describe(wrong)
    for comparison in comparisons:
        assert_same_outcome(comparison)


def test_recorded_ranks_and_metrics_follow_from_the_recorded_outcomes(replayed: Replayed) -> None:
    recording = replayed.recording
    mrr_by_side: dict[str, float] = {}

    for side in SIDES:
        queries = [query for query in recording.queries if query.side == side]
        ranks = rank_as_deepprooflog(
            [[candidate.score for candidate in query.candidates] for query in queries]
        )
        assert ranks == [query.random_rank for query in queries]
        if ranks:
            mrr_by_side[side] = statistics.fmean(1 / rank for rank in ranks)

    assert {query.side for query in recording.queries} == set(mrr_by_side)
    for side in SIDES:
        assert recording.metrics[f"mrr_{side}_mean"] == pytest.approx(mrr_by_side.get(side, 0.0), abs=1e-12)
    assert recording.metrics["mrr_mean"] == pytest.approx(statistics.fmean(mrr_by_side.values()), abs=1e-12)
    assert recording.metrics["candidates"] == len(recording.candidates)


def assert_same_outcome(comparison: Comparison) -> None:
    """What :func:`replay` compares, said once more in plain words, so that it cannot be wrong unseen."""
    record, outcome = comparison.candidate, comparison.outcome
    assert outcome is not None
    assert outcome.actions == record.actions
    assert outcome.steps == record.steps == len(record.actions)
    assert abs(outcome.log_probability - record.log_probability) <= log_probability_tolerance(outcome)
    assert not record.is_success_recorded or outcome.success == record.success
    assert record.trace is None or len(record.trace) == record.steps


def describe(comparisons: list[Comparison]) -> str:
    """The first few differences, for the report of a failed test."""
    lines = [f"{comparison.candidate.names}: {comparison.difference}" for comparison in comparisons[:5]]
    return f"{len(comparisons)} differ\n" + "\n".join(lines)


# The comparison itself


SMALL_FOLDER = "nations-seed0"
ERRORS = {
    "success": (lambda fields: fields.update(success=not fields["success"]), "success"),
    "steps": (lambda fields: fields.update(steps=fields["steps"] + 1), "steps"),
    "log-probability": (lambda fields: fields.update(logp=fields["logp"] - 0.01), "log-probability"),
    "a state": (lambda fields: fields["trace"][0].update(state=[["x", "y", "z"]]), "step 0: state"),
    "a number of actions": (lambda fields: fields["trace"][0].update(n_actions=99), "recorded 99"),
    "a chosen state": (lambda fields: fields["trace"][0].update(chosen=[["x", "y", "z"]]), "recorded [x("),
    "a step's log-probability": (lambda fields: fields["trace"][0].update(logp=-7.0), "recorded -7.0"),
}


@pytest.mark.parametrize("error", ERRORS)
def test_a_falsified_record_is_found_and_told(
    error: str, tmp_path: Path, shared_truth: Path, shared_data: Path
) -> None:
    falsify, told = ERRORS[error]
    folder = tmp_path / SMALL_FOLDER
    folder.mkdir()
    for path in (shared_truth / SMALL_FOLDER).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    lines = (folder / "candidates.jsonl").read_text(encoding="utf-8").splitlines()
    query = json.loads(lines[0])
    falsify(query["candidates"][0])
    (folder / "candidates.jsonl").write_text(json.dumps(query) + "\n", encoding="utf-8")
    recording = read_recording(folder)

    dataset = load_dataset(shared_data / recording.dataset)

    first, *others = Replayed(recording, dataset).replay(is_following=True)

    assert told in first.difference
    assert not any(comparison.difference for comparison in others)


def test_a_record_that_cannot_be_read_is_refused_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"dataset": "nations"}', encoding="utf-8")
    (tmp_path / "candidates.jsonl").write_text('{"query": ["p", "a"]}\n', encoding="utf-8")

    with pytest.raises(DatasetError, match=r"candidates\.jsonl:1: bad record"):
        read_recording(tmp_path)
