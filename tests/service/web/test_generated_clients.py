"""Clients that generators make from the OpenAPI document parse the answers and the errors of a real server."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.helpers.serving import RunningServer, clean_environment

_CONFIGURATION = """
post_hooks: []
content_type_overrides:
  application/vnd.apache.parquet: application/octet-stream
"""
"""Configuration of openapi-python-client: it knows no Parquet, and would call a formatter."""

_NPM_PACKAGES = ("@hey-api/openapi-ts@0.99.0", "typescript@5", "@types/node@20")

_TYPESCRIPT = """
import { client } from "./client/client.gen";
import { getInfo, getJob, rank, submitJob } from "./client/sdk.gen";
import type { ProblemBody, RankResponse } from "./client/types.gen";

async function main(): Promise<void> {
  client.setConfig({ baseUrl: process.argv[2] });
  const right = await rank({ body: { queries: [{ head: "anna", relation: "ancestor", tail: "Zoë" }] } });
  const answer = right.data as RankResponse | undefined;
  const wrong = await rank({ body: { queries: [{ head: "ana", relation: "ancestor", tail: "Zoë" }] } });
  const problem: ProblemBody | undefined = wrong.error;
  const job = await submitJob({ body: { split: "test", corruptions: 1 } });
  const missing = await getJob({ path: { job_id: "none" } });
  const info = await getInfo();
  console.log(JSON.stringify({
    mrr: answer?.metrics.mrr,
    hits: answer?.metrics["hits@10"],
    sides: answer?.queries[0].rankings.map((ranking) => ranking.side),
    field: problem?.errors[0].field,
    nearest: problem?.errors[0].nearest,
    state: job.data?.state,
    status: missing.error?.status,
    detail: missing.error?.detail,
    engine: info.data?.engine,
  }));
}

void main();
"""


@pytest.fixture(scope="module")
def document(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document of a server, as a file."""
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_bytes(server.client.get("/openapi.json").content)
    return path


def run(*command: str | Path, folder: Path) -> str:
    """Runs a command that ends without an error, and returns its output."""
    ended = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def python_client(document: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The package that openapi-python-client makes."""
    pytest.importorskip("openapi_python_client", reason="openapi-python-client is not installed")
    folder = tmp_path_factory.mktemp("generated")
    (folder / "configuration.yaml").write_text(_CONFIGURATION)
    output = run(
        *(sys.executable, "-m", "openapi_python_client", "generate", "--path", document, "--meta", "none"),
        *("--output-path", folder / "generated_proofrank", "--config", folder / "configuration.yaml"),
        "--fail-on-warning",
        folder=folder,
    )
    assert "Cannot parse" not in output
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("generated_proofrank")
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == "generated_proofrank"]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def generated(python_client: ModuleType, server: RunningServer) -> Iterator[Any]:
    """A generated client of the server."""
    with python_client.Client(base_url=server.url) as opened:
        yield opened


def call(client: Any, operation: str, *arguments: Any, **options: Any) -> Any:
    """Calls an operation such as ``jobs.get_job``, and returns what was parsed."""
    module = importlib.import_module(f"generated_proofrank.api.{operation}")
    return module.sync(*arguments, client=client, **options)


def models() -> Any:
    return importlib.import_module("generated_proofrank.models")


def test_a_generated_python_client_parses_ranks(generated: Any) -> None:
    body = models().RankRequest.from_dict(
        {
            "queries": [{"head": "anna", "relation": "ancestor", "tail": "Zoë"}],
            "return_candidates": True,
            "return_proof": True,
        }
    )
    answer = call(generated, "ranking.rank", body=body)
    assert isinstance(answer, models().RankResponse)
    rankings = answer.queries[0].rankings
    assert [ranking.side.value for ranking in rankings] == ["head", "tail"]
    assert answer.metrics.mrr == pytest.approx(sum(ranking.reciprocal_rank for ranking in rankings) / 2)
    assert rankings[0].num_filtered is None
    assert rankings[0].candidates[0].head == "anna"
    assert rankings[0].proof.steps[0].state == ["ancestor(anna, Zoë)"]


def test_a_generated_python_client_parses_intervals(generated: Any) -> None:
    body = models().RankRequest.from_dict(
        {
            "queries": [{"head": "anna", "relation": "ancestor", "tail": "Zoë"}],
            "corruptions": "all",
            "mrr_tolerance": 0.3,
        }
    )
    answer = call(generated, "ranking.rank", body=body)
    assert isinstance(answer, models().IntervalRankResponse)
    low, high = answer.metrics.intervals["mrr"]
    assert 0 <= high - low <= 0.6
    assert answer.metrics.mrr == (low if low == high else None)
    rankings = answer.queries[0].rankings
    assert all(ranking.rank_low <= ranking.rank_high for ranking in rankings)
    assert answer.pruning.open_ == answer.metrics.open_ == sum(ranking.open_ for ranking in rankings)


def test_a_generated_python_client_parses_what_is_wrong(generated: Any) -> None:
    body = models().RankRequest.from_dict(
        {"queries": [{"head": "ana", "relation": "ancestor", "tail": "Zoë"}]}
    )
    problem = call(generated, "ranking.rank", body=body)
    assert isinstance(problem, models().ProblemBody)
    assert problem.status == 422
    (error,) = problem.errors
    assert (error.field, error.value) == ("queries[0].head", "ana")
    assert "anna" in error.nearest
    missing = call(generated, "jobs.get_job", "none")
    assert isinstance(missing, models().ProblemBody)
    assert (missing.status, missing.errors) == (404, [])


def test_a_generated_python_client_runs_a_job(generated: Any, server: RunningServer) -> None:
    body = models().JobRequest.from_dict({"split": "test", "corruptions": 1})
    job = call(generated, "jobs.submit_job", body=body, idempotency_key="generated-client")
    assert isinstance(job, models().Job)
    again = call(generated, "jobs.submit_job", body=body, idempotency_key="generated-client")
    assert again.id == job.id
    server.client.get(f"/jobs/{job.id}/events")  # ends with the job
    results = call(generated, "jobs.get_job_results", job.id)
    assert results.job.state.value == "done"
    assert len(results.rankings) == 6
    assert results.job.metrics.by_side["head"].queries == 3
    assert call(generated, "jobs.get_job_results_csv", job.id).startswith("query_index,")
    assert job.id in [listed.id for listed in call(generated, "jobs.list_jobs").jobs]


def test_a_generated_python_client_parses_what_the_server_serves(generated: Any) -> None:
    assert call(generated, "server.get_health").status == "ok"
    assert call(generated, "server.get_readiness").ready
    assert call(generated, "server.get_info").dataset["name"] == "family"
    policies = call(generated, "policies.list_policies")
    assert policies.active in [policy.name for policy in policies.policies]


@pytest.mark.slow
def test_a_generated_typescript_client_parses_answers_and_errors(
    document: Path, server: RunningServer, tmp_path: Path
) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("npm and node are not installed")
    installed = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", *_NPM_PACKAGES],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode != 0:
        pytest.skip(f"npm cannot install the generator: {installed.stderr[-200:]}")
    tools = tmp_path / "node_modules" / ".bin"
    run(tools / "openapi-ts", "-i", document, "-o", "client", folder=tmp_path)
    (tmp_path / "main.ts").write_text(_TYPESCRIPT)
    # The compiler checks that answers and problems have the fields that main.ts reads.
    options = ("--strict", "--skipLibCheck", "--module", "commonjs", "--moduleResolution", "node10")
    run(
        *(tools / "tsc", *options, "--target", "es2022", "--lib", "es2022,dom,dom.iterable"),
        *("--types", "node", "--outDir", "built", "main.ts"),
        folder=tmp_path,
    )
    found = json.loads(run(node, "built/main.js", server.url, folder=tmp_path))
    assert 0 < found["mrr"] <= 1
    assert 0 <= found["hits"] <= 1
    assert found["sides"] == ["head", "tail"]
    assert found["field"] == "queries[0].head"
    assert "anna" in found["nearest"]
    assert found["state"] in ("queued", "running", "done")
    assert found["status"] == 404
    assert "there is no job" in found["detail"]
    assert found["engine"] == "original"
