"""``--beam`` of ``proofrank evaluate``, and the same in Python: the numbers, what is recorded, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import proofrank
from proofrank.core.default import DATASET, POLICY
from proofrank.core.evaluator import ReferenceEvaluator, create_evaluator, settings_for
from proofrank.core.evaluator.beams import BeamEvaluator, BeamReferenceEvaluator
from proofrank.core.evaluator.parallel import ParallelEvaluator
from proofrank.core.prover.beams import Beam
from proofrank.core.ranking import Corruptor, corrupted_queries, rank_queries, report, sides_of
from proofrank.service.cli.main import main
from tests.helpers.result_rows import place, read_rows


@pytest.fixture(scope="module")
def dataset() -> proofrank.Dataset:
    return proofrank.load_dataset(DATASET)


@pytest.fixture(scope="module")
def policy(dataset: proofrank.Dataset) -> proofrank.Policy:
    return proofrank.load_policy(POLICY, dataset)


def written_by(path: Path, *options: str) -> dict:
    assert main(["evaluate", "--json", str(path), "--rankings", *options]) == 0
    return json.loads(path.read_text())


@pytest.mark.parametrize("score", ["max", "logsumexp", "noisy-or"])
def test_command_and_function_give_the_numbers_of_the_reference(
    score: str, dataset: proofrank.Dataset, policy: proofrank.Policy, tmp_path: Path
) -> None:
    options = ["--corruptions", "3", "--queries", "6", "--side", "tail", "--threads", "1"]
    written = written_by(tmp_path / "a.json", *options, "--beam", "4", "--beam-score", score)
    triples = [(row["head"], row["relation"], row["tail"]) for row in written["results"]]
    by_function = proofrank.evaluate(
        dataset, policy, triples=triples, corruptions=3, side="tail", beam=4, beam_score=score
    )
    of_one = ReferenceEvaluator(dataset, policy, settings_for(policy))
    reference = BeamReferenceEvaluator(of_one, Beam(4, score))  # pyright: ignore[reportArgumentType]
    queries = corrupted_queries(
        [dataset.triple(*names) for names in triples], sides_of("tail"), Corruptor(dataset, number=3)
    )
    expected = report(rank_queries(reference, queries), dataset, "realistic").overall.mrr

    assert written["mrr"] == by_function.metrics.mrr == expected
    assert (written["protocol"]["beam"], written["protocol"]["beam_score"]) == (4, score)
    assert by_function.protocol.beam == 4


def test_one_trajectory_gives_what_no_beam_gives(tmp_path: Path) -> None:
    options = ["--corruptions", "3", "--queries", "6", "--threads", "1"]
    greedy = written_by(tmp_path / "a.json", *options)
    beam = written_by(tmp_path / "b.json", *options, "--beam", "1", "--beam-score", "noisy-or")

    assert beam["results"] == greedy["results"]
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0


def test_numbers_of_other_beams_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--corruptions", "3", "--queries", "3", "--threads", "1"]
    written_by(tmp_path / "a.json", *options)
    written_by(tmp_path / "b.json", *options, "--beam", "2")

    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 2
    assert "beam is 1 in A and 2 in B" in " ".join(capsys.readouterr().err.split())


def test_results_of_a_beam_are_gone_on_with_and_name_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    options = ["--corruptions", "3", "--queries", "4", "--threads", "1"]
    beam = ["--beam", "3", "--beam-score", "logsumexp"]
    whole = written_by(tmp_path / "a.json", *options, *beam, "--without-seconds")
    in_shards = ["evaluate", *options, "--results", str(rows), "--queries-per-shard", "1"]
    in_file = ["--json", str(tmp_path / "b.json"), "--without-seconds"]
    assert main([*in_shards, *beam, *in_file]) == 0
    by_shards = json.loads((tmp_path / "b.json").read_text())
    results = whole.pop("results")
    assert by_shards == whole
    complete = read_rows(rows)
    assert [row["score"] for row in complete] == [one["score"] for one in results]

    rows.write_text("".join(f"{line}\n" for line in rows.read_text().splitlines()[:4]))
    assert main([*in_shards, *beam]) == 0
    assert sorted(read_rows(rows), key=place) == sorted(complete, key=place)

    capsys.readouterr()
    assert main(in_shards) == 2
    assert "beam is 3 there and None here" in " ".join(capsys.readouterr().err.split())
    greedy = tmp_path / "greedy.jsonl"
    assert main(["evaluate", *options, "--results", str(greedy)]) == 0
    assert "beam" not in (tmp_path / "greedy.jsonl.run.json").read_text()
    assert main(["compare", str(greedy), str(rows)]) == 2
    assert "beam is 1 in A and 3 in B" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--beam", "65"], "beam is 65; expected a whole number from 1 to 64"),
        (["--beam", "2", "--engine", "default"], "expected one of auto, original, eager"),
        (["--beam", "2", "--engine", "default", "--on", "ray"], "expected one of auto, original, eager"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *options]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_an_mrr_to_a_tolerance_is_that_of_the_whole_evaluation(
    dataset: proofrank.Dataset, policy: proofrank.Policy
) -> None:
    whole = proofrank.evaluate(dataset, policy, corruptions=20, beam=3, beam_score="logsumexp")
    part = proofrank.evaluate(
        dataset, policy, corruptions=20, beam=3, beam_score="logsumexp", mrr_tolerance=0.0
    )

    assert part.metrics.mrr.low == part.metrics.mrr.high == whole.metrics.mrr


def test_the_proofs_of_a_beam_are_shown_the_best_first(
    dataset: proofrank.Dataset, policy: proofrank.Policy
) -> None:
    triple = next(
        dataset.names(triple)
        for triple in dataset.splits["test"]
        if len(proofrank.explain(dataset, policy, dataset.names(triple), beam=8).proofs) > 1
    )
    greedy = proofrank.explain(dataset, policy, triple)
    found = proofrank.explain(dataset, policy, triple, beam=8, beam_score="logsumexp")

    assert greedy.proofs == ()
    assert len(set(found.proofs)) == len(found.proofs) > 1
    assert found.text.startswith(found.proofs[0])
    assert f"{len(found.proofs)} of 8 trajectories prove it" in found.text
    assert found.log_probability > proofrank.explain(dataset, policy, triple, beam=8).log_probability


def test_beams_are_shared_among_processes(dataset: proofrank.Dataset, policy: proofrank.Policy) -> None:
    beam, settings = Beam(3, "logsumexp"), settings_for(policy)
    alone = create_evaluator("auto", dataset, policy, settings, device="cpu", beam=beam)
    assert isinstance(alone, BeamEvaluator)
    queries = corrupted_queries(dataset.splits["test"][:4], sides_of("both"), Corruptor(dataset, number=20))
    together = create_evaluator("auto", dataset, policy, settings, device="cpu", beam=beam, processes=2)
    assert isinstance(together, ParallelEvaluator)
    try:
        together.warm_up()
        ranked = rank_queries(together, queries)
    finally:
        together.close()

    for one, other in zip(ranked, rank_queries(alone, queries), strict=True):
        assert (one.ranks, list(one.outcomes)) == (other.ranks, list(other.outcomes))
