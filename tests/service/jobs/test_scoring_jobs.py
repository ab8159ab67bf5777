"""Jobs rank by embeddings and hybrid scores, with what was fixed at submission, also after a restart."""

from __future__ import annotations

import csv
import io
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import proofrank
from proofrank.client import Client, ClientError, ConflictError, InvalidRequestError, JobError
from proofrank.core.graph import Dataset
from proofrank.core.policy import load_policy
from proofrank.service.cli.main import main
from tests.helpers.answers import without_time
from tests.helpers.embeddings import write_distmult, write_too_large
from tests.helpers.family import write_untrained_policy
from tests.helpers.intervals import assert_metrics_hold, assert_ranks_hold, write_chain
from tests.helpers.job_client import ended, get, many_queries, results, submit, with_progress
from tests.helpers.scrapes import growth, scrape
from tests.helpers.serving import RunningServer

OF_SERVER = {"weight": 0.5, "bonus": None, "penalty": 1.0}
GIVEN = {
    "weight": 0.75,
    "bonus": 1.5,
    "penalty": 2.5,
    "by_relation": {"parent": {"weight": 3.0, "bonus": None, "penalty": 0.25}},
}


@pytest.fixture(scope="module")
def embedding(family: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distmult(tmp_path_factory.mktemp("embeddings") / "distmult", family)


def arguments_of(serve_arguments: list[str], embedding: Path) -> list[str]:
    """The arguments of a server with an embedding, and weights of its own."""
    weights = embedding.parent / "server.json"
    weights.write_text('{"weight": 0.5, "penalty": 1.0}')
    return [*serve_arguments, "--embedding", str(embedding), "--hybrid", str(weights)]


@pytest.fixture(scope="module")
def scored_server(serve_arguments: list[str], embedding: Path) -> Iterator[RunningServer]:
    with RunningServer(*arguments_of(serve_arguments, embedding)) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def scored(scored_server: RunningServer) -> Iterator[Client]:
    with Client(scored_server.url) as client:
        yield client


@pytest.mark.parametrize(
    ("scoring", "hybrid", "weights_from"),
    [
        ("proof", None, None),
        ("embedding", None, None),
        ("hybrid", None, "server"),
        ("hybrid", GIVEN, "given"),
    ],
)
@pytest.mark.parametrize("pruning", ["exact", "ranks", "none"])
def test_a_job_ranks_as_the_function_does(
    scoring: Any,
    hybrid: dict[str, Any] | None,
    weights_from: str | None,
    pruning: Any,
    scored: Client,
    family: Dataset,
    policy_folder: Path,
    embedding: Path,
) -> None:
    own = OF_SERVER if hybrid is None else hybrid
    expected = proofrank.evaluate(
        family,
        load_policy(policy_folder, family),
        split="train",
        corruptions="all",
        engine="original",
        pruning="none",
        scoring=scoring,
        embedding=None if scoring == "proof" else embedding,
        hybrid=own if scoring == "hybrid" else None,
    )
    result = scored.evaluate(
        "train", corruptions="all", pruning=pruning, scoring=scoring, hybrid=hybrid, progress=False
    )
    assert result.metrics.mrr == expected.metrics.mrr
    assert result.metrics.positives_proved == expected.metrics.positives_proved
    assert (result.metrics.positives_proved is None) == (scoring == "embedding")
    for ranking, other in zip(result.rankings, expected.rankings, strict=True):
        for name in ("side", "rank", "score", "proved", "embedding_score", "log_probability"):
            assert getattr(ranking, name) == getattr(other, name), name
    told = result.job.scoring
    assert told is not None
    assert (told.kind, told.weights_from) == (scoring, weights_from)
    assert (told.weights is None) == (scoring != "hybrid")
    if told.weights is not None:
        weights: dict[str, Any] = {**vars(told.weights)}
        if told.by_relation:
            weights["by_relation"] = {name: vars(of) for name, of in told.by_relation.items()}
        assert weights == own
    assert result.job.pruning is not None
    if scoring == "embedding":
        assert result.job.pruning.level == "none"
    is_unused = scoring == "embedding" and pruning != "none"
    note = f"nothing is proved with scoring 'embedding', so pruning {pruning!r} leaves nothing out"
    assert result.job.pruning.note == (note if is_unused else None)


def test_a_job_goes_on_by_the_scores_that_it_was_submitted_with(
    serve_arguments: list[str], family: Dataset, tmp_path: Path
) -> None:
    """Also where the weights of the server have changed; with another embedding it fails and says so."""
    arguments = [*serve_arguments, "--data-folder", str(tmp_path / "data"), "--max-body-bytes", str(2**20)]
    mine = write_distmult(tmp_path / "mine", family)
    other = write_distmult(tmp_path / "other", family, seed=1)
    body = {"queries": many_queries(350), "corruptions": 4, "seed": 3, "pruning": "none", "scoring": "hybrid"}
    with RunningServer(*arguments_of(arguments, mine)) as server:
        client = server.wait_until_ready().client
        undisturbed = ended(client, submit(client, **body)["id"])
        rankings = results(client, undisturbed["id"])["rankings"]
        interrupted = submit(client, **body)["id"]
        waiting = submit(client, **body)["id"]
        with_progress(client, interrupted)
        server.send(signal.SIGKILL)
        server.wait()
    with RunningServer(*arguments, "--embedding", str(mine)) as server:  # the default weights
        client = server.wait_until_ready().client
        job = ended(client, interrupted)
        assert job["scoring"] == undisturbed["scoring"]
        assert job["scoring"]["weights"] == OF_SERVER
        assert without_time(job["metrics"]) == without_time(undisturbed["metrics"])
        assert results(client, interrupted)["rankings"] == rankings
        assert submit(client, **body)["scoring"]["weights_from"] == "default"
        assert get(client, waiting)["state"] in ("queued", "running")
        server.send(signal.SIGKILL)
        server.wait()
    with RunningServer(*arguments, "--embedding", str(other)) as server:
        client = server.wait_until_ready().client
        job = ended(client, waiting)
        assert job["state"] == "failed"
        assert "embedding 'mine' with SHA-256" in job["error"]
        assert "is no longer served; now it is 'other' with" in job["error"]


@pytest.mark.parametrize(("scoring", "hybrid"), [("hybrid", None), ("hybrid", GIVEN), ("embedding", None)])
@pytest.mark.parametrize("tolerance", [0.05, 0.0])
def test_the_exact_values_lie_in_the_intervals(
    scoring: Any,
    hybrid: dict[str, Any] | None,
    tolerance: float,
    scored: Client,
    scored_server: RunningServer,
) -> None:
    client = scored_server.client
    body = {"split": "train", "corruptions": "all", "scoring": scoring}
    body |= {} if hybrid is None else {"hybrid": hybrid}
    exact = ended(client, submit(client, **body, pruning="exact" if scoring == "hybrid" else None)["id"])
    ranked = results(client, exact["id"])["rankings"]
    before = scrape(client)

    job = ended(client, submit(client, **body, mrr_tolerance=tolerance)["id"])

    assert job["state"] == "done", job
    found = results(client, job["id"])
    assert_metrics_hold(job["intervals"], exact["metrics"])
    assert_ranks_hold(found["rank_intervals"], ranked)
    low, high = job["intervals"]["intervals"]["mrr"]
    assert high - low <= 2 * tolerance
    is_known = tolerance == 0 or scoring == "embedding"
    assert (job["intervals"]["mrr"] == exact["metrics"]["mrr"]) or not is_known
    assert job["scoring"] == exact["scoring"]
    num = job["progress"]["candidates"]
    assert job["progress"]["candidates_done"] == num - job["intervals"]["open"]
    assert job["pruning"]["level"] == ("none" if scoring == "embedding" else "ranks")
    after = scrape(client)
    assert growth(before, after, "proofrank_scored_candidates_total", scoring=scoring) == num
    assert after[("proofrank_job_mrr", ())] is not None
    # Figures of a policy are of its proofs alone.
    assert str(after[("proofrank_job_mrr", ())]) == str(before[("proofrank_job_mrr", ())])
    assert scored.wait(job["id"], progress=False).job.intervals is not None


def test_a_job_to_a_tolerance_goes_on_by_its_own_weights(tmp_path: Path) -> None:
    folder = write_chain(tmp_path / "chain", length=80)
    policy = write_untrained_policy(tmp_path / "policy", folder)
    embedding = write_distmult(tmp_path / "distmult", proofrank.load_dataset(folder))
    arguments = ["--dataset", str(folder), "--policy", str(policy), "--engine", "eager"]
    arguments += ["--data-folder", str(tmp_path / "data")]
    body = {"split": "test", "corruptions": "all", "mrr_tolerance": 0.003, "scoring": "hybrid"}
    with RunningServer(*arguments_of(arguments, embedding)) as server:
        client = server.wait_until_ready().client
        undisturbed = ended(client, submit(client, **body)["id"])
        expected = results(client, undisturbed["id"])["rank_intervals"]
        interrupted = submit(client, **body)["id"]
        with_progress(client, interrupted)
        server.send(signal.SIGKILL)
        server.wait()
    with RunningServer(*arguments, "--embedding", str(embedding)) as server:  # the default weights
        client = server.wait_until_ready().client
        job = ended(client, interrupted)
        found = results(client, interrupted)["rank_intervals"]
    assert (job["state"], job["scoring"]["weights"]) == ("done", OF_SERVER)
    assert "goes on with" in server.log
    assert found == expected
    assert job["pruning"]["steps"] == undisturbed["pruning"]["steps"]


def test_figures_of_a_policy_are_of_its_proofs_alone(
    scored: Client, scored_server: RunningServer, family: Dataset
) -> None:
    by_proofs = scored.evaluate("train", corruptions="all", progress=False).metrics.mrr
    with httpx.Client(base_url=scored_server.url) as client:
        before = scrape(client)
        for scoring in ("embedding", "hybrid"):
            result = scored.evaluate("train", corruptions="all", scoring=scoring, progress=False)
            assert result.metrics.mrr != by_proofs
        after = scrape(client)
    name = ("proofrank_job_mrr", ())
    assert after[name] == before[name] == by_proofs
    for scoring in ("embedding", "hybrid"):
        counted = ("proofrank_scored_candidates_total", (("scoring", scoring),))
        assert after[counted] - before[counted] == result.metrics.candidates
    queries = ("proofrank_queries_total", ())
    assert after[queries] - before[queries] == 2 * result.metrics.queries


@pytest.mark.parametrize("hybrid", [None, GIVEN])
def test_a_rank_of_a_hybrid_job_is_explained_by_the_scores_of_the_job(
    hybrid: dict[str, Any] | None, scored: Client
) -> None:
    options: dict[str, Any] = {"corruptions": "all", "side": "tail"}
    job = scored.evaluate("train", scoring="hybrid", hybrid=hybrid, progress=False, **options)
    for ranking in job.rankings:
        triple = (ranking.head, ranking.relation, ranking.tail)
        answer = scored.rank(
            [triple],
            scoring="hybrid",
            hybrid=hybrid,
            return_candidates=True,
            corruptions="all",
            side="tail",
        )
        others = answer.queries[0].rankings[0].candidates
        assert others is not None

        why = scored.why(triple, job=job.job, first=2, **options)

        assert why.scoring == job.job.scoring
        for name in ("rank", "score", "proved", "steps", "log_probability"):
            assert getattr(why.ranking, name) == getattr(ranking, name), name
        assert why.num_higher == sum(one.score > ranking.score for one in others)
        expected = sorted((one.score for one in others[1:] if one.score >= ranking.score), reverse=True)[:2]
        assert [one.score for one in why.ahead] == expected
        by_tail = {one.tail: one for one in others}
        for one in (why.positive, *why.ahead):
            assert one.embedding_part is not None and one.proof_part is not None
            assert one.embedding_part + one.proof_part == one.score
            assert one.embedding_part == by_tail[one.tail].embedding_part
        of_proofs = scored.why(triple, job=job.job, scoring="proof", first=0, **options)
        assert of_proofs.scoring is not None and of_proofs.scoring.kind == "proof"
        assert of_proofs.positive.embedding_part is None
        if hybrid is None:
            own = scored.why(triple, job=job.job, scoring="hybrid", hybrid=GIVEN, first=0, **options)
            assert own.scoring is not None and own.scoring.weights_from == "given"


def test_a_rank_by_an_embedding_is_explained_without_proofs(scored: Client) -> None:
    options: dict[str, Any] = {"corruptions": "all", "side": "tail"}
    job = scored.evaluate("test", scoring="embedding", progress=False, **options)
    triple = (job.rankings[0].head, job.rankings[0].relation, job.rankings[0].tail)
    for ranking in job.rankings:
        why = scored.why((ranking.head, ranking.relation, ranking.tail), job=job.job.id, first=2, **options)
        assert (why.engine, why.scoring) == ("none", job.job.scoring)
        assert (why.ranking.rank, why.ranking.score) == (ranking.rank, ranking.score)
        for one in (why.positive, *why.ahead):
            assert one.score == one.embedding_score
            assert (one.proof, one.steps, one.embedding_part) == ("", (), None)
    proved = scored.evaluate("test", scoring="embedding", proofs_of=[triple], progress=False).proofs[triple]
    assert proved.proof.startswith(f"{triple[1]}(")
    with pytest.raises(InvalidRequestError, match="which has no beam; expected 1"):
        scored.why(triple, job=job.job.id, beam=2, first=0)
    with pytest.raises(InvalidRequestError, match="'beam' is for scores of proofs"):
        scored.why(triple, scoring="embedding", beam=2, first=0)


def test_a_rank_by_scores_that_are_no_longer_served_is_not_explained(
    serve_arguments: list[str], family: Dataset, tmp_path: Path
) -> None:
    arguments = [*serve_arguments, "--data-folder", str(tmp_path / "data")]
    mine = write_distmult(tmp_path / "mine", family)
    other = write_distmult(tmp_path / "other", family, seed=1)
    triple = family.names(family.splits["test"][0])
    one = RunningServer(*arguments, "--embedding", str(mine))
    with one as server, Client(server.wait_until_ready().url) as client:
        job = client.evaluate("test", scoring="hybrid", progress=False).job
        expected = client.why(triple, job=job, first=0)
    with (
        RunningServer(
            *arguments, "--embedding", str(mine), "--hybrid", str(weights_file(tmp_path))
        ) as server,
        Client(server.wait_until_ready().url) as client,
    ):
        again = client.why(triple, job=job, first=0)
        assert (again.positive, again.scoring) == (expected.positive, expected.scoring)
    for now in (["--embedding", str(other)], []):
        with RunningServer(*arguments, *now) as server, Client(server.wait_until_ready().url) as client:
            with pytest.raises(ConflictError, match=r"embedding 'mine' with SHA-256 .* is no longer served"):
                client.why(triple, job=job, first=0)
            assert client.why(triple, job=job, scoring="proof", first=0).positive.embedding_score is None


def weights_file(folder: Path) -> Path:
    path = folder / "weights.json"
    path.write_text('{"weight": 9.0, "penalty": 1.0}')
    return path


def test_a_comparison_of_jobs_says_that_weights_are_unlike(scored: Client) -> None:
    jobs = [
        scored.evaluate("test", scoring="hybrid", hybrid=hybrid, progress=False).job.id
        for hybrid in ({"weight": 1.0}, GIVEN)
    ]
    assert scored.compare(jobs[0], jobs[0]).scores_note is None
    note = scored.compare(*jobs).scores_note
    assert note is not None
    assert "weight is 1 in A and 0.75 in B; bonus is none in A and 1.5 in B" in note
    assert "the weights of 'parent' differ" in note


def test_jobs_of_two_scorings_are_not_compared_and_tables_have_the_score_of_the_embedding(
    scored: Client, scored_server: RunningServer
) -> None:
    ended = [scored.evaluate("test", scoring=scoring, progress=False) for scoring in ("proof", "hybrid")]
    jobs = [one.job.id for one in ended]
    with pytest.raises(ClientError, match="scoring is 'proof' in A and 'hybrid' in B"):
        scored.compare(*jobs)
    rows = list(csv.DictReader(io.StringIO(scored_server.client.get(f"/jobs/{jobs[1]}/results.csv").text)))
    rankings = results(scored_server.client, jobs[1])["rankings"]
    assert [float(row["embedding_score"]) for row in rows] == [one["embedding_score"] for one in rankings]
    frame = ended[1].to_frame()
    assert {*frame.columns} == {*rows[0], "reciprocal_rank"}
    assert [*frame["embedding_score"]] == [one["embedding_score"] for one in rankings]
    of_proofs = results(scored_server.client, jobs[0])["rankings"]
    assert {one["embedding_score"] for one in of_proofs} == {None}


def test_what_cannot_be_scored_is_refused(scored: Client, server: RunningServer) -> None:
    with Client(server.url) as client, pytest.raises(ClientError, match="this server has no embedding"):
        client.submit("test", scoring="embedding")
    with pytest.raises(InvalidRequestError, match="unknown predicate of dataset 'family'") as caught:
        scored.submit("test", scoring="hybrid", hybrid={"by_relation": {"parents": {"weight": 2.0}}})
    (error,) = caught.value.errors
    assert (error.field, error.value, error.nearest[0]) == ("hybrid.by_relation", "parents", "parent")
    with pytest.raises(InvalidRequestError, match=r"by_relation\.parent\.weight"):
        scored.submit("test", scoring="hybrid", hybrid={"by_relation": {"parent": {"weight": -1.0}}})


def test_an_older_version_of_a_key_finds_its_job_again(scored: Client) -> None:
    """A body without scoring has the hash that it had before there was one."""
    first = scored.submit("test", idempotency_key="of-proofs")
    assert scored.submit("test", idempotency_key="of-proofs").id == first.id
    with pytest.raises(InvalidRequestError, match="was used with another body"):
        scored.submit("test", scoring="hybrid", idempotency_key="of-proofs")
    assert scored.wait(first.id, progress=False).job.scoring is not None


def test_the_commands_ask_for_scores_and_name_them(
    scored_server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = ["--url", scored_server.url]
    weights = tmp_path / "weights.json"
    weights.write_text('{"format": "proofrank-hybrid-1", "by_relation": {"parent": {"weight": 3.0}}}')
    assert main(["rank", "--split", "test", "--scoring", "hybrid", "--hybrid", str(weights), *url]) == 0
    assert ", scoring hybrid (distmult, given weights)" in " ".join(capsys.readouterr().out.split())
    assert main(["rank", "anna", "ancestor", "Zoë", "--scoring", "hybrid", *url]) == 0
    assert ", scoring hybrid (distmult, weights of the server)" in capsys.readouterr().out
    assert main(["rank", "anna", "ancestor", "Zoë", "--scoring", "embedding", *url]) == 0
    assert ", scoring embedding (distmult)" in capsys.readouterr().out
    assert main(["jobs", "--limit", "1", *url]) == 0
    assert "hybrid" in capsys.readouterr().out
    assert main(["rank", "anna", "ancestor", "Zoë", "--weight", "2", *url]) == 2
    assert "--weight is for --scoring hybrid, and scoring is 'proof'" in capsys.readouterr().err


def test_a_failed_job_says_which_triple_has_no_score(
    serve_arguments: list[str], family: Dataset, tmp_path: Path
) -> None:
    scores = tmp_path / "scores.tsv"
    names = [family.names(triple) for triple in family.splits["test"]]
    scores.write_text("".join(f"{relation}({head},{tail})\t1\n" for head, relation, tail in names))
    with RunningServer(*serve_arguments, "--embedding", str(scores)) as server:
        server.wait_until_ready()
        with Client(server.url) as client, pytest.raises(JobError, match="no score of "):
            client.evaluate("test", scoring="embedding", progress=False)


def test_requests_and_jobs_whose_scores_are_not_finite_are_refused(
    serve_arguments: list[str], family: Dataset, tmp_path: Path
) -> None:
    folder = write_too_large(tmp_path / "large", family, finite="parent")
    names = [family.names(triple) for triple in family.splits["test"]]
    of_relation = {
        relation: [triple for triple in names if triple[1] == relation] for _, relation, _ in names
    }
    overflowing = {"scoring": "hybrid", "hybrid": {"weight": 1e6}}
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"scoring": "embedding"}, "ancestor", "the score inf"),
        ({"scoring": "hybrid"}, "ancestor", "the score inf"),
        *((overflowing | {"pruning": level}, "parent", "is -inf") for level in ("exact", "ranks")),
    ]
    with RunningServer(*serve_arguments, "--embedding", str(folder)) as server:
        server.wait_until_ready()
        with Client(server.url) as client:
            for options, relation, text in cases:
                triples = of_relation[relation]
                tolerances: list[dict[str, Any]] = [{}, {"mrr_tolerance": 0.0}]
                for tolerance in tolerances:
                    with pytest.raises(InvalidRequestError, match=text) as caught:
                        client.rank(triples, **options, **tolerance)
                    assert caught.value.errors[0].field == "scoring"
                    with pytest.raises(JobError, match=text):
                        client.evaluate(triples, progress=False, **options, **tolerance)
            assert client.rank(of_relation["parent"], scoring="hybrid").metrics.mrr is not None
