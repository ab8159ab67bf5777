"""``proofrank compare`` reads what ``evaluate`` and a server write, and shows what changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import proofrank
from proofrank.service.cli.comparison_markdown import to_markdown
from proofrank.service.cli.main import main
from proofrank.service.client import Client, Job
from proofrank.service.wire import Comparison, answer_to_json, read_answer
from tests.helpers.family import write_untrained_policy
from tests.helpers.serving import RunningServer, run_without
from tests.helpers.told import without_reading

OPTIONS = ("--corruptions", "all", "--split", "train")


@pytest.fixture(scope="module")
def other_policy(family_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy with other weights."""
    return write_untrained_policy(tmp_path_factory.mktemp("policies") / "other", family_folder, seed=4)


@pytest.fixture(scope="module")
def written(
    family_folder: Path, policy_folder: Path, other_policy: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the evaluations of two policies, ``a`` and ``b``, in all forms."""
    folder = tmp_path_factory.mktemp("written")
    for name, policy in (("a", policy_folder), ("b", other_policy)):
        arguments = ["evaluate", "--dataset", str(family_folder), "--policy", str(policy), *OPTIONS]
        arguments += ["--engine", "original"]
        for suffix in ("jsonl", "parquet"):
            assert main([*arguments, "--results", str(folder / f"{name}.{suffix}")]) == 0
        assert main([*arguments, "--json", str(folder / f"{name}.json"), "--rankings"]) == 0
        assert main([*arguments, "--json", str(folder / f"{name}-metrics.json")]) == 0
    return folder


def compared(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of the command."""
    status = main(["compare", *map(str, arguments)])
    printed = capsys.readouterr()
    return status, printed.out, without_reading(printed.err)


def test_each_form_of_results_gives_the_same_comparison(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found: list[dict[str, Any]] = []
    for before, after in (("a.jsonl", "b.jsonl"), ("a.parquet", "b.jsonl"), ("a.json", "b.parquet")):
        path = tmp_path / "comparison.json"
        assert compared(capsys, written / before, written / after, "--json", path)[0] == 0
        found.append(json.loads(path.read_text()))
    assert len({json.dumps([one["overall"], one["macro"], one["changed"]]) for one in found}) == 1
    assert found[0]["changed"], "the two policies must rank otherwise"
    overall = found[0]["overall"]
    metrics = json.loads((written / "b-metrics.json").read_text())
    assert overall["metrics"]["mrr"]["b"] == pytest.approx(metrics["mrr"])
    assert overall["metrics"]["hits@3"]["b"] == pytest.approx(metrics["hits@3"])
    assert overall["rankings"] == metrics["rankings"]
    assert set(found[0]["by_relation"]) == {"ancestor", "parent"}
    # That pruning left something out is told beside the ranks, which do not depend on it.
    assert [one["a"]["certified"] for one in found] == [True, True, True]


def test_the_python_function_gives_what_the_command_writes(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "comparison.json"
    assert compared(capsys, written / "a.jsonl", written / "b.jsonl", "--json", path, "--seed", 3)[0] == 0
    found = proofrank.compare(written / "a.jsonl", str(written / "b.jsonl"), seed=3)
    assert found.to_dict() == json.loads(path.read_text())


def test_reports_in_memory_are_compared_as_their_files(
    written: Path, family_folder: Path, policy_folder: Path, other_policy: Path
) -> None:
    dataset = proofrank.load_dataset(family_folder)
    before, after = (
        proofrank.evaluate(
            dataset,
            proofrank.load_policy(folder, dataset),
            split="train",
            corruptions="all",
            engine="original",
        )
        for folder in (policy_folder, other_policy)
    )
    found = proofrank.compare(before, after)
    from_files = proofrank.compare(written / "a.jsonl", written / "b.jsonl")
    assert (found.overall, found.macro, found.changed) == (
        from_files.overall,
        from_files.macro,
        from_files.changed,
    )
    assert proofrank.compare(before, written / "b.json").overall == found.overall
    assert json.loads((written / "b.json").read_text())["results"] == after.to_dict(rankings=True)["results"]


def test_tables_show_metrics_by_group_and_the_worst_losses_first(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = compared(capsys, written / "a.json", written / "b.jsonl", "--changes", 2)
    assert status == 0
    lines = [line.split() for line in out.splitlines() if line.strip()]
    rows = {line[0] for line in lines}
    assert {"all", "macro,", "head", "tail", "ancestor", "parent"} <= rows
    assert "pruning exact: some candidates are certified to rank lower, not proved" in out
    assert "2 of " in out
    assert "MRR 0." in out.splitlines()[-1]


def test_a_file_of_depths_gives_metrics_by_depth(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in (written / "a.jsonl").read_text().splitlines()]
    depths = tmp_path / "depths.txt"
    text = {
        f"{row['relation']}({row['head']},{row['tail']}). {1 + (row['relation'] == 'ancestor')}\n"
        for row in rows
    }
    depths.write_text("% two depths\n" + "".join(sorted(text)), encoding="utf-8")
    path = tmp_path / "comparison.json"
    arguments = (written / "a.jsonl", written / "b.jsonl", "--depths", depths, "--json", path)
    status, out, _ = compared(capsys, *arguments)
    assert status == 0
    assert "depth 2" in out
    found = json.loads(path.read_text())
    assert list(found["by_depth"]) == ["1", "2"]
    assert found["by_depth"]["2"]["triples"] == found["by_relation"]["ancestor"]["triples"]
    assert found["changed"][0]["depth"] in ("1", "2")
    columns = "".join(f"{row['head']}\t{row['relation']}\t{row['tail']}\t3\n" for row in rows)
    depths.write_text(columns, encoding="utf-8")
    assert compared(capsys, *arguments)[0] == 0
    assert list(json.loads(path.read_text())["by_depth"]) == ["3"]
    for line, message in (
        ("parent(anna,ben).\n", "depths.txt:1: no depth in 'parent(anna,ben).'; expected 'predicate(first"),
        ("nothing\n", "depths.txt:1: no triple with a depth in 'nothing'"),
        ("p(a,b) 1\np(a,b) 2\n", "depths.txt:2: another depth than '1', in an earlier line in 'p(a,b) 2'"),
        ("p(a,b) 1\n", "ranked triples have no depth, such as parent(anna, ben); expected one for each"),
    ):
        depths.write_text(line, encoding="utf-8")
        status, _, err = compared(capsys, *arguments)
        assert (status, message in err) == (2, True), err


def worse_than(source: Path, target: Path) -> Path:
    """Writes the results of ``source`` with every rank one place later."""
    shutil.copy(source.with_name(f"{source.name}.run.json"), target.with_name(f"{target.name}.run.json"))
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    for row in rows:
        row["rank"] += 1
    target.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return target


def test_a_policy_that_is_worse_fails_the_command_if_asked_to(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = worse_than(written / "a.jsonl", tmp_path / "worse.jsonl")
    assert compared(capsys, written / "a.jsonl", worse)[0] == 0
    status, out, _ = compared(capsys, written / "a.jsonl", worse, "--fail-if-worse")
    assert status == 1
    assert out.splitlines()[-1].startswith("B is worse: MRR 0.")
    status, out, _ = compared(capsys, worse, written / "a.jsonl", "--fail-if-worse")
    assert (status, out.splitlines()[-1][:12]) == (0, "B is better:")
    status, out, _ = compared(capsys, worse, worse, "--fail-if-worse")
    assert (status, out.splitlines()[-1][:15]) == (0, "No rank changed")


def test_markdown_has_the_tables_and_takes_nothing_in_a_name_for_markup(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pull" / "request.md"
    assert compared(capsys, written / "a.jsonl", written / "b.jsonl", "--markdown", path)[0] == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith("### B against A on ")
    assert "| all | 0." in text
    assert "<details><summary>By relation and depth</summary>" in text
    found = proofrank.compare(written / "a.jsonl", written / "b.jsonl")
    comparison = read_answer(Comparison, json.dumps(found.to_dict()))
    named = json.loads(answer_to_json(comparison))
    named["changed"][0].update(head="<script>a|b</script>", tail="@someone [x](y) `c`\n| d")
    hostile = to_markdown(read_answer(Comparison, json.dumps(named)), 1)
    (line,) = (line for line in hostile.splitlines() if "script" in line)
    assert "&lt;script&gt;a\\|b&lt;/script&gt;" in line
    assert "@someone \\[x\\](y) \\`c\\` \\| d)</code>" in line


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("a.jsonl", "none.jsonl", "none.jsonl: no such file; expected FILE.jsonl or FILE.parquet of"),
        (
            "a-metrics.json",
            "b.json",
            "a-metrics.json: holds metrics without rankings, which have no intervals",
        ),
        (
            "a.jsonl",
            "alone.jsonl",
            "alone.jsonl: alone.jsonl.run.json, which says how it ranks, is not beside it",
        ),
        ("a.jsonl", "torn.jsonl", 'torn.jsonl, line 2: \'{"query_index": 0, "he\' is not a row of results'),
        ("text.json", "b.json", "text.json: not as written: "),
        ("list.json", "b.json", "list.json: holds no rankings; expected"),
        ("part.parquet", "b.json", "part.parquet: a single file, which does not say how it ranks"),
        ("a.jsonl", "valid.json", "do not rank alike: split is 'train' in A and 'valid' in B"),
        ("a.jsonl", "half.jsonl", "they rank different queries: "),
        ("lacks.json", "b.json", "lacks.json: lacks 'protocol'; expected"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(
    written: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    before: str,
    after: str,
    message: str,
) -> None:
    for path in written.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    lines = (tmp_path / "a.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "alone.jsonl").write_text("".join(lines))
    for name, content in (("torn", lines[0] + lines[1][:22]), ("half", "".join(lines[2:]))):
        (tmp_path / f"{name}.jsonl").write_text(content)
        shutil.copy(tmp_path / "a.jsonl.run.json", tmp_path / f"{name}.jsonl.run.json")
    (tmp_path / "text.json").write_text("no JSON")
    (tmp_path / "list.json").write_text("[1]")
    part = next((tmp_path / "a.parquet").glob("queries-*.parquet"))
    shutil.copy(part, tmp_path / "part.parquet")
    shutil.copy(tmp_path / "a.parquet.run.json", tmp_path / "part.parquet.run.json")
    content = json.loads((tmp_path / "b.json").read_text())
    valid = {**content, "protocol": {**content["protocol"], "split": "valid"}}
    (tmp_path / "valid.json").write_text(json.dumps(valid))
    del content["protocol"]
    (tmp_path / "lacks.json").write_text(json.dumps(content))

    status, _, err = compared(capsys, tmp_path / before, tmp_path / after)

    assert (status, len(err.splitlines())) == (2, 1), err
    assert message in err


# Jobs of a server


@pytest.fixture(scope="module")
def jobs(server: RunningServer, other_policy: Path) -> Iterator[tuple[Client, Job, Job]]:
    """A client, and jobs of two policies."""
    with Client(server.url) as client:
        client.upload_policy("compared", other_policy)
        first, second = (
            client.evaluate("train", corruptions="all", policy=policy, progress=False).job
            for policy in (None, "compared")
        )
        yield client, first, second
        client.delete_policy("compared")


def test_jobs_of_a_server_are_compared_as_their_results_here(
    jobs: tuple[Client, Job, Job],
    server: RunningServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client, first, second = jobs
    found = client.compare(first, second.id, seed=2)
    results = [client.wait(job.id, progress=False) for job in (first, second)]
    assert json.loads(answer_to_json(found)) == proofrank.compare(*results, seed=2).to_dict()
    assert client.compare(*results, seed=2) == found

    path, written = tmp_path / "c.json", [tmp_path / "a.json", tmp_path / "b.json"]
    status, out, _ = compared(
        capsys, first.id, second.id, "--server", server.url, "--seed", 2, "--json", path
    )
    assert (status, f"A: job {first.id}, policy " in out) == (0, True)
    assert json.loads(path.read_text()) == json.loads(answer_to_json(found))
    for result, file in zip(results, written, strict=True):
        file.write_bytes(answer_to_json(result))
    assert proofrank.compare(*written, seed=2).changed == proofrank.compare(*results, seed=2).changed


def test_jobs_that_cannot_be_compared_are_refused(
    jobs: tuple[Client, Job, Job], server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    client, first, _ = jobs
    other = client.evaluate("test", corruptions="all", progress=False).job
    for a, b, status, message in (
        (first.id, "no-such-job", 404, "there is no job 'no-such-job'"),
        (first.id, other.id, 422, "do not rank alike: split is 'train' in A and 'test' in B"),
    ):
        answer = server.client.get("/compare", params={"a": a, "b": b})
        assert (answer.status_code, message in answer.json()["detail"]) == (status, True), answer.text
        code, _, err = compared(capsys, a, b, "--server", server.url)
        assert (code, message in err) == (2, True)
    queries = [("anna", "ancestor", "Zoë")] * 2000
    running = client.submit(queries, corruptions="all")
    answer = server.client.get("/compare", params={"a": running.id, "b": first.id})
    client.delete_job(running.id)
    assert answer.status_code == 409
    assert "only jobs that are done are compared" in answer.json()["detail"]
    wrong = server.client.get("/compare", params={"a": first.id, "b": first.id, "confidence": "95"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "query.confidence")


def test_comparing_jobs_needs_no_numpy(jobs: tuple[Client, Job, Job], server: RunningServer) -> None:
    _, first, second = jobs
    done = run_without("numpy", "compare", first.id, second.id, "--server", server.url)
    assert (done.returncode, done.stderr) == (0, "")
    of_files = run_without("numpy", "compare", "a.jsonl", "b.jsonl")
    assert of_files.returncode == 2
    assert "compare of files needs numpy: pip install 'proofrank[server]'" in of_files.stderr
