"""``proofrank evaluate --results``: rankings are written as they are done, and a run resumes where it ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proofrank.service.bulk.results import ResultsFile
from proofrank.service.cli.main import main
from tests.helpers.result_rows import SUFFIXES, place, read_rows
from tests.helpers.serving import run_without
from tests.helpers.told import without_reading


def interrupt_after(shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulates Ctrl-C once ``shards`` shards have been written."""
    from proofrank.service.cli import bulk

    class Interrupted:
        def __init__(self, results: ResultsFile) -> None:
            self._results, self._left = results, shards

        def __getattr__(self, name: str) -> Any:
            return getattr(self._results, name)

        def add(self, rankings: Any) -> None:
            if not self._left:
                raise KeyboardInterrupt
            self._left -= 1
            self._results.add(rankings)

    opened = bulk.open_results

    @contextmanager
    def opened_for_a_while(*given: Any) -> Iterator[Interrupted]:
        with opened(*given) as results:
            yield Interrupted(results)

    monkeypatch.setattr(bulk, "open_results", opened_for_a_while)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_evaluation_in_shards_has_the_metrics_of_one_at_once_and_a_row_for_each_ranking(
    bulk_arguments: list[str], tmp_path: Path, suffix: str
) -> None:
    whole, in_shards, results = tmp_path / "whole.json", tmp_path / "shards.json", tmp_path / f"rows{suffix}"
    assert main([*bulk_arguments, "--json", str(whole)]) == 0
    shards = ["--results", str(results), "--queries-per-shard", "2"]
    assert main([*bulk_arguments, *shards, "--json", str(in_shards)]) == 0
    assert in_shards.read_bytes() == whole.read_bytes()
    rows = read_rows(results)
    assert sorted(map(place, rows)) == [(index, side) for index in range(9) for side in ("head", "tail")]
    mrr = json.loads(whole.read_text())["mrr"]
    assert sum(1 / row["rank"] for row in rows) / len(rows) == pytest.approx(mrr)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupted_evaluation_goes_on_where_it_ended_with_the_numbers_of_an_undisturbed_one(
    bulk_arguments: list[str],
    tmp_path: Path,
    suffix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    undisturbed, results = tmp_path / f"undisturbed{suffix}", tmp_path / f"rows{suffix}"
    first, second, trace = tmp_path / "first.json", tmp_path / "second.json", tmp_path / "trace.json"
    shards = ["--queries-per-shard", "1"]
    assert main([*bulk_arguments, *shards, "--results", str(undisturbed), "--json", str(first)]) == 0
    with monkeypatch.context() as patch:
        interrupt_after(4, patch)
        assert main([*bulk_arguments, *shards, "--results", str(results)]) == 130
    assert len(read_rows(results)) == 8

    # Each line is written whole; a narrow terminal wraps it by itself.
    monkeypatch.setenv("COLUMNS", "40")
    more = ["--results", str(results), "--json", str(second), "--trace", str(trace)]
    assert main([*bulk_arguments, *shards, *more]) == 0

    assert f"{results}: 4 of 9 queries are done; going on" in capsys.readouterr().err.splitlines()
    assert second.read_bytes() == first.read_bytes()
    assert sorted(read_rows(results), key=place) == sorted(read_rows(undisturbed), key=place)
    assert len(json.loads(trace.read_text())["shards"]) == 5


def test_a_finished_evaluation_is_reported_again_without_proving_anything(
    bulk_arguments: list[str], tmp_path: Path
) -> None:
    results, trace = tmp_path / "rows.jsonl", tmp_path / "trace.json"
    reports = [tmp_path / "first.json", tmp_path / "second.json"]
    for report in reports:
        written = ["--results", str(results), "--json", str(report), "--trace", str(trace)]
        assert main([*bulk_arguments, *written]) == 0
    assert json.loads(trace.read_text())["shards"] == []
    assert reports[0].read_bytes() == reports[1].read_bytes()


@pytest.mark.parametrize("cut", [1, 40, 300, 700])
def test_a_torn_end_is_done_again(bulk_arguments: list[str], tmp_path: Path, cut: int) -> None:
    results, whole, again = tmp_path / "rows.jsonl", tmp_path / "whole.json", tmp_path / "again.json"
    assert main([*bulk_arguments, "--results", str(results), "--json", str(whole)]) == 0
    rows = read_rows(results)
    results.write_bytes(results.read_bytes()[:-cut])
    assert main([*bulk_arguments, "--results", str(results), "--json", str(again)]) == 0
    assert again.read_bytes() == whole.read_bytes()
    assert sorted(read_rows(results), key=place) == sorted(rows, key=place)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (["--seed", "4"], "seed is 3 there and 4 here"),
        (["--corruptions", "all"], "corruptions is 4 there and 'all' here"),
        (["--max-depth", "3"], "max_depth is 20 there and 3 here"),
    ],
)
def test_results_of_another_evaluation_are_refused_and_left_as_they_are(
    bulk_arguments: list[str],
    tmp_path: Path,
    suffix: str,
    options: list[str],
    difference: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = tmp_path / f"rows{suffix}"
    assert main([*bulk_arguments, "--results", str(results)]) == 0
    rows = read_rows(results)
    assert main([*bulk_arguments, *options, "--results", str(results)]) == 2
    expected = f"proofrank: --results {results}: holds another run ({difference}); use another name\n"
    assert capsys.readouterr().err.endswith(expected)
    assert read_rows(results) == rows


def test_a_file_that_is_no_results_is_refused_and_left_as_it_is(
    bulk_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "rows.jsonl"
    results.write_text("precious\n")
    assert main([*bulk_arguments, "--results", str(results)]) == 2
    assert "exists, and rows.jsonl.run.json does not say which run it belongs to" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
    assert results.read_text() == "precious\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--results", "rows.csv"], "--results rows.csv: expected a name that ends in .jsonl or .parquet"),
        (["--results", "/proc/rows.jsonl"], "--results /proc/rows.jsonl: cannot be written: "),
        (["--trace", "/proc/no/trace.json"], "--trace /proc/no/trace.json: cannot be written: "),
        (["--workers", "2"], "--workers cannot be given here: it is for --on ray"),
        (["--address", "auto"], "--address cannot be given here: it is for --on ray"),
        (["--queries-per-shard", "2"], "--queries-per-shard is for --on ray, --results or --trace"),
    ],
)
def test_what_cannot_be_done_in_shards_is_told_in_one_line(
    bulk_arguments: list[str], options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*bulk_arguments, *options]) == 2
    assert without_reading(capsys.readouterr().err).startswith(f"proofrank: {message}")


def test_without_ray_it_is_told_what_to_install(bulk_arguments: list[str]) -> None:
    ended = run_without("ray", *bulk_arguments, "--on", "ray")
    assert ended.returncode == 2
    assert without_reading(ended.stderr) == "proofrank: --on ray needs ray: pip install 'proofrank[ray]'\n"
