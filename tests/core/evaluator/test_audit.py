"""An audit finds what cannot be in recorded outcomes, and nothing in outcomes that can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proofrank.core.evaluator.audit import Audit, audit
from proofrank.core.evaluator.recordings import read_recording
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.provability import compute_least_model
from proofrank.service.cli.main import main
from tests.helpers.datasets import SHARED, DatasetMaker, write_dataset

TRAIN = ["p(a,b).", "p(b,c)."]
RULES = ["p(X,Z), p(Z,Y) -> v(X,Y)"]

Fields = dict[str, Any]


@pytest.fixture(scope="module")
def dataset(make_dataset: DatasetMaker) -> Dataset:
    return make_dataset(TRAIN, RULES, test=["v(a,c)."])


def sound() -> list[Fields]:
    """A query whose outcomes may be those of a policy."""
    return [
        {
            "query": ["v", "a", "c"],
            "side": "tail",
            "rank_recorded": 1,
            "candidates": [
                {"candidate": ["v", "a", "c"], "success": True, "logp": -0.5, "steps": 2, "actions": [0, 0]},
                {"candidate": ["v", "a", "b"], "success": False, "logp": -0.25, "steps": 1, "actions": [1]},
            ],
        }
    ]


def write_recording(folder: Path, queries: list[Fields], metrics: Fields | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"dataset": "graph", "max_depth": 3}))
    (folder / "candidates.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    if metrics is not None:
        (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def audited(folder: Path, queries: list[Fields], dataset: Dataset, metrics: Fields | None = None) -> Audit:
    recording = read_recording(write_recording(folder, queries, metrics))
    return audit(recording, dataset, compute_least_model(dataset))


def test_nothing_is_found_in_outcomes_that_can_be(dataset: Dataset, tmp_path: Path) -> None:
    found = audited(tmp_path, sound(), dataset, {"mrr_mean": 1.0, "hits@1": 1.0})

    assert found.findings == ()
    assert (found.num_candidates, found.num_proved) == (2, 1)


@pytest.mark.parametrize(
    ("index", "change", "kind"),
    [
        (1, {"success": True, "logp": -0.75}, "impossible proof"),
        (0, {"steps": 4, "actions": [0, 0, 0, 0]}, "more steps than the limit"),
        (0, {"logp": 0.5}, "log-probability above 0"),
        (0, {"actions": [0]}, "another number of actions than of steps"),
    ],
)
def test_an_outcome_that_cannot_be_is_found(
    index: int, change: Fields, kind: str, dataset: Dataset, tmp_path: Path
) -> None:
    queries = sound()
    queries[0]["candidates"][index] |= change

    found = audited(tmp_path, queries, dataset)

    assert found.counts == {kind: 1}


def test_an_outcome_that_was_not_recorded_is_not_judged(dataset: Dataset, tmp_path: Path) -> None:
    queries = sound()
    queries[0]["candidates"][0] |= {"success_recorded": False, "logp": 1.0}
    queries[0]["rank_recorded"] = 2

    assert audited(tmp_path, queries, dataset).findings == ()


@pytest.mark.parametrize(("rank", "logp", "num_found"), [(2, -0.25, 1), (1, -0.25, 0), (2, -100.5, 0)])
def test_a_rank_is_possible_where_ties_allow_it(
    rank: int, logp: float, num_found: int, dataset: Dataset, tmp_path: Path
) -> None:
    queries = sound()
    queries[0]["rank_recorded"] = rank
    queries[0]["candidates"][0] |= {"success": logp > -100, "logp": max(logp, -0.25)}

    found = audited(tmp_path, queries, dataset)

    assert found.counts == ({"rank that the scores do not allow": num_found} if num_found else {})


def test_a_metric_that_the_ranks_do_not_give_is_found(dataset: Dataset, tmp_path: Path) -> None:
    found = audited(tmp_path, sound(), dataset, {"mrr_mean": 0.9})

    assert [(finding.kind, finding.where) for finding in found.findings] == [
        ("metric that the ranks do not give", "mrr_mean")
    ]


def test_the_command_prints_what_it_finds_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path / "data/graph", TRAIN, RULES, test=["v(a,c)."])
    queries = sound()
    assert (
        main(
            ["audit", str(write_recording(tmp_path / "sound/one", queries)), "--data", str(tmp_path / "data")]
        )
        == 0
    )
    queries[0]["candidates"][1] |= {"success": True, "logp": -0.75}
    folder = write_recording(tmp_path / "wrong/one", queries)
    out = tmp_path / "findings.json"
    capsys.readouterr()

    status = main(["audit", str(folder), "--data", str(tmp_path / "data"), "--json", str(out)])

    assert status == 1
    assert "impossible proof: 1\n  v(a, b): recorded as proved" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["counts"] == {"impossible proof": 1}
    assert written["findings"][0]["where"] == "v(a, b)"


def test_the_recorded_evaluation_of_another_evaluator_has_980_impossible_proofs(shared_data: Path) -> None:
    folder = SHARED / "audit" / "family-current"
    if not folder.is_dir():
        pytest.skip(f"no recorded evaluation: {folder} is missing")
    dataset = load_dataset(shared_data / "family")

    found = audit(read_recording(folder), dataset, compute_least_model(dataset))

    assert found.num_proved == 1006
    assert found.counts == {"impossible proof": 980}
