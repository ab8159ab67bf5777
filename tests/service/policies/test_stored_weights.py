"""Weights of hybrid scores are a part of a policy: written by fit-hybrid, uploaded, used, and named in answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import proofrank
from proofrank.client import Client, InvalidRequestError
from proofrank.core.errors import PolicyError, RankingError
from proofrank.core.graph import Dataset
from proofrank.core.policy import load_policy
from proofrank.service.cli.main import main
from proofrank.service.policies.policy_files import PolicyFiles
from proofrank.service.policies.records import NO_RUN, PolicyRecord
from proofrank.service.policies.schemas import to_entry
from proofrank.service.wire import StoredPolicy, read_answer
from tests.helpers.embeddings import write_distmult
from tests.helpers.serving import RunningServer

TRIPLES = "train"


@pytest.fixture(scope="module")
def embedding(family: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distmult(tmp_path_factory.mktemp("embeddings") / "distmult", family)


@pytest.fixture(scope="module")
def weighted(
    family_folder: Path, policy_folder: Path, embedding: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A copy of the policy, with weights that the command has fitted and stored."""
    folder = Path(shutil.copytree(policy_folder, tmp_path_factory.mktemp("policies") / "weighted"))
    arguments = ["--dataset", str(family_folder), "--policy", str(folder), "--engine", "original"]
    arguments += ["--corruptions", "all", "--split", "train", "--embedding", str(embedding), "--by-relation"]
    assert main(["fit-hybrid", *arguments, "--with-policy"]) == 0
    return folder


@pytest.fixture(scope="module")
def scored(serve_arguments: list[str], embedding: Path) -> Iterator[Client]:
    """A client of a server with an embedding and weights of its own."""
    of_server = embedding.parent / "server.json"
    of_server.write_text('{"weight": 0.125}')
    arguments = [*serve_arguments, "--embedding", str(embedding), "--hybrid", str(of_server)]
    with RunningServer(*arguments) as running:
        running.wait_until_ready()
        with Client(running.url) as client:
            yield client


def names_of(family: Dataset) -> list[tuple[str, str, str]]:
    return [family.names(triple) for triple in family.splits[TRIPLES]]


def changed(folder: Path, target: Path, **fields: Any) -> Path:
    """A copy of the policy in ``folder`` whose weights have other fields."""
    copy = Path(shutil.copytree(folder, target))
    content = json.loads((copy / "hybrid.json").read_text())
    (copy / "hybrid.json").write_text(json.dumps({**content, **fields}))
    return copy


def test_the_weights_are_a_part_of_the_content(weighted: Path, policy_folder: Path, family: Dataset) -> None:
    plain, policy = load_policy(policy_folder, family), load_policy(weighted, family)
    content = json.loads((weighted / "hybrid.json").read_text())
    assert plain.hybrid is None
    assert content["policy"] == plain.content_hash != policy.content_hash
    assert policy.hybrid == proofrank.Hybrid.from_dict(content)
    assert content["format"] == "proofrank-hybrid-1"


def test_fitting_again_replaces_them_and_says_so(
    weighted: Path,
    family_folder: Path,
    embedding: Path,
    family: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = Path(shutil.copytree(weighted, tmp_path / "again"))
    before = load_policy(folder, family).content_hash
    arguments = ["--dataset", str(family_folder), "--engine", "original", "--corruptions", "2"]
    arguments += ["--split", "train", "--embedding", str(embedding), "--queries", "2"]
    assert main(["fit-hybrid", *arguments, "--policy", str(folder), "--with-policy"]) == 0
    after = load_policy(folder, family).content_hash
    told = " ".join(capsys.readouterr().out.split())
    assert f"the policy's SHA-256 is {after} now, before it was {before}" in told
    assert main(["fit-hybrid", *arguments, "--policy", str(folder)]) == 2
    assert "the weights go nowhere" in capsys.readouterr().err
    assert main(["fit-hybrid", *arguments, "--policy", "untrained", "--with-policy"]) == 2
    assert "--with-policy needs the folder of a policy" in capsys.readouterr().err


def test_they_score_where_none_are_given_and_the_answer_says_so(
    scored: Client, weighted: Path, policy_folder: Path, embedding: Path, family: Dataset
) -> None:
    policy = load_policy(weighted, family)
    assert policy.hybrid is not None
    triples = names_of(family)
    options: dict[str, Any] = {"corruptions": "all", "scoring": "hybrid"}
    expected = proofrank.evaluate(
        family, policy, triples=triples, engine="original", pruning="none", embedding=embedding, **options
    )
    assert expected.scoring["weights_from"] == "policy"
    assert expected.scoring["weights"] == policy.hybrid.to_dict()
    uploaded = scored.upload_policy("weighted", weighted, activate=True)
    assert uploaded.sha256 == policy.content_hash
    for pruning in ("exact", "ranks", "none"):
        answer = scored.rank(triples, pruning=pruning, **options)
        assert answer.scoring is not None and answer.scoring.weights is not None
        assert answer.scoring.weights_from == "policy"
        assert vars(answer.scoring.weights) == vars(policy.hybrid.overall)
        assert set(answer.scoring.by_relation) == set(policy.hybrid.by_relation)
        found = [ranking.rank for query in answer.queries for ranking in query.rankings]
        assert found == [ranking.rank for ranking in expected.rankings]
    job = scored.evaluate(TRIPLES, policy=uploaded, progress=False, **options).job
    assert job.metrics is not None and job.scoring is not None
    assert (job.metrics.mrr, job.scoring) == (expected.metrics.mrr, answer.scoring)
    given = scored.rank(triples, hybrid={"weight": 2.0}, **options)
    assert given.scoring is not None and given.scoring.weights_from == "given"
    # Without weights of its own, a policy has those of the server, the job by the content that it pins.
    scored.upload_policy("plain", policy_folder, activate=True)
    plain = scored.rank(triples, **options)
    assert plain.scoring is not None and plain.scoring.weights_from == "server"
    job = scored.evaluate(TRIPLES, policy=uploaded, progress=False, **options).job
    assert job.scoring == answer.scoring
    job = scored.evaluate(TRIPLES, policy="plain", progress=False, **options).job
    assert job.scoring is not None and job.scoring.weights_from == "server"


def test_weights_for_another_embedding_are_refused_where_none_are_given(
    scored: Client, weighted: Path, embedding: Path, family: Dataset, tmp_path: Path
) -> None:
    folder = changed(weighted, tmp_path / "other", embedding={"name": "rotate", "sha256": "0" * 64})
    uploaded = scored.upload_policy("other", folder)
    message = "were fitted with the embedding 'rotate'"
    with pytest.raises(InvalidRequestError, match=message):
        scored.submit(TRIPLES, policy=uploaded, scoring="hybrid")
    job = scored.submit(TRIPLES, policy=uploaded, scoring="hybrid", hybrid={"weight": 2.0})
    assert job.scoring is not None and job.scoring.weights_from == "given"
    policy = load_policy(folder, family)
    with pytest.raises(RankingError, match=message):
        proofrank.evaluate(family, policy, scoring="hybrid", embedding=embedding)


def test_the_list_of_policies_tells_of_them(
    scored: Client, weighted: Path, policy_folder: Path, embedding: Path, family: Dataset, tmp_path: Path
) -> None:
    by_relation = {family.vocabulary.predicates[0]: {"weight": 2.0}}
    folder = changed(weighted, tmp_path / "weighted", by_relation=by_relation)
    hybrid = load_policy(folder, family).hybrid
    assert hybrid is not None
    uploaded = scored.upload_policy("listed", folder)
    scored.upload_policy("plain", policy_folder)
    listed = {policy.name: policy for policy in scored.policies()}
    assert listed["plain"].hybrid is None
    assert listed["listed"] == uploaded
    told = uploaded.hybrid
    assert told is not None and told.weights is not None
    assert vars(told.weights) == vars(hybrid.overall)
    assert told.relations == 1
    source = proofrank.load_embedding(embedding)
    assert told.embedding is not None and told.beam is not None
    assert (told.embedding.name, told.embedding.sha256) == (source.name, source.content_hash)
    assert (told.beam.width, told.beam.score, told.error) == (1, "max", None)


def test_damaged_weights_do_not_hide_the_other_policies(tmp_path: Path) -> None:
    files = PolicyFiles(tmp_path)
    (tmp_path / "policies" / "0").mkdir()
    (tmp_path / "policies" / "0" / "hybrid.json").write_text("{")
    record = PolicyRecord("damaged", "0", 1, datetime(2026, 1, 31, tzinfo=UTC), False, NO_RUN)
    told = to_entry(record, files).hybrid
    assert told is not None and told.error is not None and told.error.startswith("hybrid.json: not JSON")
    assert told.weights is None


def test_an_older_server_says_nothing_of_them() -> None:
    told = {"name": "p", "sha256": "0", "active": True, "bytes": 1, "created": "2026-01-31T12:00:00.000Z"}
    assert read_answer(StoredPolicy, json.dumps(told)).hybrid is None


def test_weights_that_were_fitted_to_another_beam_score_with_a_warning(
    scored: Client, weighted: Path, family: Dataset, tmp_path: Path
) -> None:
    folder = changed(weighted, tmp_path / "beam", fitted={"beam": {"width": 2, "score": "noisy-or"}})
    uploaded = scored.upload_policy("beam", folder, activate=True)
    triples = names_of(family)[:1]
    options: dict[str, Any] = {"corruptions": 2, "scoring": "hybrid"}

    def warning_of(told: Any) -> str | None:
        assert told.scoring is not None and told.scoring.weights_from == "policy"
        return told.scoring.warning

    same: dict[str, Any] = {"beam": 2, "beam_score": "noisy-or"}
    by_max: dict[str, Any] = {"beam": 2}
    others: list[tuple[dict[str, Any], str]] = [({}, "greedy proofs"), (by_max, "a beam of 2 (max)")]
    for other, used in others:
        told = warning_of(scored.rank(triples, **options, **other))
        assert told is not None and f"fitted to a beam of 2 (noisy-or), and score {used}; expected" in told
        assert warning_of(scored.submit(TRIPLES, policy=uploaded, **options, **other)) == told
    assert warning_of(scored.rank(triples, **options, **same)) is None
    job = scored.submit(TRIPLES, policy=uploaded, **options, **same)
    assert warning_of(job) is None
    # An explanation by the scores of a job has a beam of its own.
    told = warning_of(scored.why(triples[0], first=0, job=job.id))
    assert told is not None and "score greedy proofs" in told
    assert warning_of(scored.why(triples[0], first=0, job=job.id, **same)) is None
    # Weights of a greedy fit score greedy proofs.
    scored.upload_policy("weighted", weighted, activate=True)
    assert warning_of(scored.rank(triples, **options)) is None
    assert warning_of(scored.rank(triples, **options, **same)) is not None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "proofrank-hybrid-2"}, "'format' is 'proofrank-hybrid-2'; expected 'proofrank-hybrid-1'"),
        ({"weight": -1.0}, "weight of hybrid scores is -1.0; expected a number from 0 to 1e+06"),
        ({"by_relation": {"parents": {}}}, "has weights of relation 'parents', which the policy does not"),
        ({"embedding": "distmult"}, "embedding of hybrid scores is 'distmult'; expected an object"),
        (
            {"fitted": {"beam": {"width": 0, "score": "max"}}},
            "beam of fitted hybrid scores is {'score': 'max', 'width': 0}",
        ),
        ({"policy": "0" * 64}, "has weights that were fitted to the policy '0000"),
    ],
)
def test_wrong_weights_are_refused_by_their_file(
    fields: dict[str, Any],
    message: str,
    scored: Client,
    weighted: Path,
    family: Dataset,
    tmp_path: Path,
) -> None:
    folder = changed(weighted, tmp_path / "wrong", **fields)
    with pytest.raises(PolicyError) as caught:
        load_policy(folder, family)
    assert message in str(caught.value)
    assert caught.value.file == "hybrid.json"
    with pytest.raises(InvalidRequestError) as refused:
        scored.upload_policy("wrong", folder)
    assert [error.field for error in refused.value.errors] == ["hybrid"]
    assert message in str(refused.value)


def test_a_large_file_is_not_read(weighted: Path, family: Dataset, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(weighted, tmp_path / "large"))
    with (folder / "hybrid.json").open("ab") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(PolicyError, match=r"hybrid\.json: larger than 16777216 bytes"):
        load_policy(folder, family)


def test_a_server_that_starts_with_them_uses_them(
    serve_arguments: list[str], weighted: Path, embedding: Path, family: Dataset
) -> None:
    arguments = list(serve_arguments)
    arguments[arguments.index("--policy") + 1] = str(weighted)
    with RunningServer(*arguments, "--embedding", str(embedding)) as running:
        running.wait_until_ready()
        with Client(running.url) as client:
            answer = client.rank(names_of(family)[:1], scoring="hybrid")
    assert answer.scoring is not None and answer.scoring.weights_from == "policy"
    assert answer.policy.sha256 == load_policy(weighted, family).content_hash
