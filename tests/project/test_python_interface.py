"""What ``import proofrank`` gives: evaluation in this process, with the numbers of the command line."""

from __future__ import annotations

import importlib
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import proofrank
from proofrank import in_process
from proofrank.core.default import DATASET, POLICY
from proofrank.service.cli.main import main
from tests.helpers.serving import REPOSITORY, clean_environment

TRIPLE = ("albania", "locatedInCR", "europe")
PAGE = REPOSITORY / "docs" / "python.md"


@pytest.fixture(scope="module")
def dataset() -> proofrank.Dataset:
    return proofrank.load_dataset(DATASET)


@pytest.fixture(scope="module")
def policy(dataset: proofrank.Dataset) -> proofrank.Policy:
    return proofrank.load_policy(POLICY, dataset)


@pytest.fixture(scope="module")
def report(dataset: proofrank.Dataset, policy: proofrank.Policy) -> proofrank.EvaluationReport:
    return proofrank.evaluate(dataset, policy, split="test", corruptions=7, seed=3)


@pytest.mark.parametrize("engine", ["original", "eager"])
def test_none_of_the_callers_random_numbers_are_drawn(dataset: proofrank.Dataset, engine: str) -> None:
    before = torch.get_rng_state()
    policy = proofrank.load_policy(POLICY, dataset)
    proofrank.evaluate(dataset, policy, split="valid", side="tail", corruptions=1, engine=engine)
    proofrank.explain(dataset, policy, TRIPLE)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_evaluation_has_the_metrics_that_the_command_line_writes(
    report: proofrank.EvaluationReport, tmp_path: Path
) -> None:
    written = tmp_path / "metrics.json"
    assert main(["evaluate", "--corruptions", "7", "--seed", "3", "--json", str(written)]) == 0

    def without_seconds(value: dict) -> dict:
        return {
            name: without_seconds(part) if isinstance(part, dict) else part
            for name, part in value.items()
            if name != "seconds"
        }

    assert without_seconds(report.to_dict()) == without_seconds(json.loads(written.read_text()))


def test_a_frame_has_a_row_for_each_ranking_from_which_the_mrr_follows(
    report: proofrank.EvaluationReport, dataset: proofrank.Dataset
) -> None:
    frame = report.to_frame()
    assert len(frame) == report.metrics.rankings == 2 * len(dataset.splits["test"])
    mrr = statistics.fmean(frame["reciprocal_rank"].to_list())
    assert mrr == pytest.approx(report.metrics.mrr, abs=1e-12)
    assert set(frame["side"]) == {"head", "tail"}
    first = frame.iloc[0].to_dict()
    assert (first["head"], first["relation"], first["tail"]) == dataset.names(dataset.splits["test"][0])


def test_a_frame_without_pandas_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = proofrank.load_dataset(DATASET)
    policy = proofrank.load_policy(POLICY, dataset)
    report = proofrank.evaluate(
        dataset, policy, triples=[("albania", "locatedInCR", "europe")], corruptions=1
    )
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(proofrank.ProofrankError, match=r"pip install 'proofrank\[frames\]'"):
        report.to_frame()


def test_parts_of_a_large_evaluation_give_the_rankings_of_the_whole(
    report: proofrank.EvaluationReport,
    dataset: proofrank.Dataset,
    policy: proofrank.Policy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(in_process, "_CANDIDATES_AT_ONCE", 20)
    told: list[tuple[int, int]] = []
    in_parts = proofrank.evaluate(
        dataset, policy, corruptions=7, seed=3, progress=lambda done, total: told.append((done, total))
    )
    assert in_parts.rankings == report.rankings
    assert told[-1] == (report.metrics.candidates, report.metrics.candidates)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_named_triples_are_ranked_instead_of_a_split(
    dataset: proofrank.Dataset, policy: proofrank.Policy
) -> None:
    report = proofrank.evaluate(dataset, policy, triples=[TRIPLE], side="tail", corruptions="all")
    (ranking,) = report.rankings
    assert (ranking.head, ranking.relation, ranking.tail) == TRIPLE
    assert (ranking.rank, ranking.proved, ranking.num_candidates) == (1.0, True, 5)


def test_a_progress_bar_goes_to_standard_error_alone(
    dataset: proofrank.Dataset, policy: proofrank.Policy, capfd: pytest.CaptureFixture[str]
) -> None:
    proofrank.evaluate(dataset, policy, triples=[TRIPLE], corruptions=2, progress=True)
    assert capfd.readouterr().out == ""


def test_a_proof_is_that_of_the_command_line(
    dataset: proofrank.Dataset, policy: proofrank.Policy, capsys: pytest.CaptureFixture[str]
) -> None:
    proof = proofrank.explain(dataset, policy, TRIPLE)
    assert proof.proved
    assert proof.score == proof.log_probability
    assert main(["evaluate", "--explain", *TRIPLE]) == 0
    assert capsys.readouterr().out.strip() == proof.text


def test_paths_in_place_of_what_is_loaded_are_told_with_the_function_that_loads(
    dataset: proofrank.Dataset, policy: proofrank.Policy
) -> None:
    network = policy.network
    functions: list[Callable[[Any, Any], object]] = [
        proofrank.evaluate,
        lambda dataset, policy: proofrank.explain(dataset, policy, TRIPLE),
        lambda dataset, policy: proofrank.why(dataset, policy, TRIPLE),
        lambda dataset, policy: proofrank.sample(dataset, policy, [TRIPLE]),
        lambda dataset, policy: proofrank.fit_hybrid(dataset, policy, "embedding"),
    ]
    for evaluate in functions:
        with pytest.raises(proofrank.ProofrankError, match=r"dataset is 'towns'; expected .*load_dataset"):
            evaluate("towns", policy)
        with pytest.raises(
            proofrank.ProofrankError, match=r"policy is a PolicyNetwork; expected .*load_policy"
        ):
            evaluate(dataset, network)


def test_prover_settings_are_overridden_by_name(dataset: proofrank.Dataset, policy: proofrank.Policy) -> None:
    assert proofrank.explain(dataset, policy, TRIPLE, prover={"max_depth": 1}).steps == 1
    with pytest.raises(proofrank.EvaluationError, match="max_deep"):
        proofrank.explain(dataset, policy, TRIPLE, prover={"max_deep": 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "validation"}, "split is 'validation'; expected one of train, valid, test"),
        ({"corruptions": "some"}, "corruptions is 'some'; expected a whole number, 0 or more, or 'all'"),
        ({"corruptions": -1}, "corruptions is -1; expected a whole number"),
        ({"ties": "best"}, "ties is 'best'; expected one of optimistic"),
        ({"side": "left"}, "side is 'left'; expected one of head, tail, both"),
        ({"triples": []}, "triples is empty; expected at least one"),
        ({"engine": "eagre"}, "unknown engine 'eagre'; did you mean 'eager'"),
        ({"triples": [("albani", "locatedInCR", "europe")]}, "unknown constant 'albani'; did you mean"),
        (
            {"scoring": "hybrid", "embedding": torch.nn.Linear(1, 1)},
            "embedding is a Linear; expected a path, or what",
        ),
        ({"triples": "test"}, "triples is 'test'; expected tuples of names"),
        ({"triples": [("albania", "europe")]}, "triple is ('albania', 'europe'); expected three names"),
        ({"triples": [(3003, "aunt", 3009)]}, "triple is (3003, 'aunt', 3009); expected three names"),
        ({"triples": ["albania locatedInCR europe"]}, "expected three names, (head, relation, tail)"),
    ],
)
def test_a_wrong_option_is_refused_with_what_would_be_right(
    dataset: proofrank.Dataset, policy: proofrank.Policy, options: dict, message: str
) -> None:
    with pytest.raises(proofrank.ProofrankError, match=re.escape(message)):
        proofrank.evaluate(dataset, policy, **options)


def test_every_public_name_is_there_and_described_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in proofrank.__all__:
        assert hasattr(proofrank, name)
        assert f"`{name}`" in page or f"`{name}(" in page, name
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        _ = proofrank.evaluat  # pyright: ignore[reportAttributeAccessIssue]


def test_the_page_has_the_first_line_of_each_docstring_and_each_argument() -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    names = ("evaluate", "explain", "EvaluationReport", "TripleRanking", "ProofReport")
    names += ("why", "RankExplanation", "ExplainedCandidate", "ExplainedStep", "StepAlternative")
    for name in names:
        documented = getattr(proofrank, name).__doc__
        assert documented.strip().splitlines()[0] in page, name
        for argument in re.findall(r"^ {4,8}(\w+): ", documented, re.MULTILINE):
            assert f"`{argument}`" in page, (name, argument)


def test_the_client_is_had_without_loading_torch() -> None:
    program = (
        "import sys, proofrank; proofrank.Client; import proofrank.client; print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_the_short_way_to_the_client_has_all_its_names() -> None:
    short, long = (importlib.import_module(name) for name in ("proofrank.client", "proofrank.service.client"))
    assert short.__all__ == long.__all__
    assert all(getattr(short, name) is getattr(long, name) for name in long.__all__)
