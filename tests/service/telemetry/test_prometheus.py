"""A real Prometheus takes the metrics, the rules and every query of the dashboard."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from proofrank.service.telemetry.job_metrics import MAX_SERIES, JobMrrCollector
from proofrank.service.telemetry.metrics import ServiceMetrics
from tests.helpers.monitoring import MONITORING, RunningPrometheus, promtool, without_prometheus
from tests.helpers.serving import RunningServer
from tests.helpers.uploads import files_of

WHY_NOT = without_prometheus()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

DASHBOARD = json.loads((MONITORING / "grafana/dashboards/proofrank.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

WITHOUT_DATA: dict[str, str] = {}
"""Panels whose queries have no number after the load of these tests, with the reason."""

QUERIES = [
    {"head": "anna", "relation": "ancestor", "tail": "Zoë"},
    {"head": "eva", "relation": "parent", "tail": "Zoë"},
]
SECONDS = 300.0
"""Time within which Prometheus must have seen the expected data; never waited in full."""


ANNOTATIONS = DASHBOARD["annotations"]["list"]


def expressions() -> list[tuple[str, str]]:
    """(panel or annotation, query) of the dashboard, with what Grafana puts in for its variables."""
    written = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
    written += [(annotation["name"], annotation["expr"]) for annotation in ANNOTATIONS]
    variables = {"$instance": ".+", "$__rate_interval": "5s", "$__range": "1m"}
    return [(title, _filled_in(expression, variables)) for title, expression in written]


def _filled_in(expression: str, variables: Mapping[str, str]) -> str:
    for name, value in variables.items():
        expression = expression.replace(name, value)
    return expression


@pytest.fixture(scope="module")
def serving(family_folder: Path, policy_folder: Path) -> Iterator[RunningServer]:
    """A server with the default engine."""
    arguments = ["--dataset", str(family_folder), "--policy", str(policy_folder), "--max-body-bytes", "5000"]
    with RunningServer(*arguments) as server:
        yield server.wait_until_ready()


@pytest.fixture(scope="module")
def prometheus(
    serving: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningPrometheus]:
    """A Prometheus that scrapes the server."""
    folder = tmp_path_factory.mktemp("prometheus")
    with RunningPrometheus(folder, [serving.url.removeprefix("http://")]) as running:
        yield running


def load(server: RunningServer) -> dict[str, Any]:
    """Sends a few requests, good and bad; returns the answer of a good one."""
    server.client.post("/rank", json={"queries": []})
    server.client.post("/rank", content=b" " * 6000)
    answer = server.client.post("/rank", json={"queries": QUERIES, "corruptions": "all"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def until(server: RunningServer, is_there: Callable[[], bool]) -> bool:
    """Repeats the load until ``is_there``; returns False if that does not happen in time."""
    deadline = time.monotonic() + SECONDS
    while not is_there():
        if time.monotonic() > deadline:
            return False
        load(server)
        time.sleep(0.3)
    return True


def test_the_configuration_the_rules_and_their_tests_pass_promtool() -> None:
    assert "SUCCESS" in promtool("check", "config", str(MONITORING / "prometheus.yml"))
    tests = sorted(map(str, (MONITORING / "tests").glob("*.yml")))
    assert promtool("test", "rules", *tests).count("SUCCESS") == len(tests)


def test_every_rule_and_every_alert_has_a_unit_test() -> None:
    groups = [
        group
        for path in sorted((MONITORING / "tests").glob("*.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
    ]
    alerts = {case["alertname"] for group in groups for case in group.get("alert_rule_test", ())}
    expressions_tested = {case["expr"] for group in groups for case in group.get("promql_expr_test", ())}
    assert names_in("alerts.yml", "alert") - alerts == set()
    # The test of an alert does not check the rules that it uses; it may pass whatever their values are.
    assert names_in("rules.yml", "record") - expressions_tested == set()


def names_in(file: str, kind: str) -> set[str]:
    """Returns the names of a file's rules of one kind, ``alert`` or ``record``."""
    written = yaml.safe_load((MONITORING / file).read_text(encoding="utf-8"))
    return {rule[kind] for group in written["groups"] for rule in group["rules"]}


def test_rules_and_dashboard_name_only_metrics_that_there_are() -> None:
    exported = {
        name for family in ServiceMetrics().registry.collect() for name in names_of(family.name, family.type)
    }
    written = "".join(path.read_text(encoding="utf-8") for path in MONITORING.rglob("*.yml"))
    written += json.dumps(DASHBOARD)
    used = set(re.findall(r"(?<![\w:.])(?:proofrank|process)_\w+(?![\w:])", written))
    assert used - exported == set()


def names_of(family: str, kind: str) -> list[str]:
    """Returns the names of a family's samples."""
    if kind == "histogram":
        return [f"{family}_{part}" for part in ("bucket", "count", "sum")]
    return [f"{family}_total" if kind == "counter" else family]


def test_the_exported_metrics_pass_promtool(serving: RunningServer) -> None:
    load(serving)
    assert promtool("check", "metrics", text=serving.client.get("/metrics").text) == ""


def test_prometheus_has_the_mrr_of_what_was_ranked(
    serving: RunningServer, prometheus: RunningPrometheus
) -> None:
    mrr = load(serving)["metrics"]["mrr"]
    name = "policy:proofrank_mrr:ratio"
    over_time = (
        "sum(rate(proofrank_reciprocal_rank_total[5s])) / (sum(rate(proofrank_rankings_total[5s])) > 0)"
    )
    assert until(serving, lambda: bool(prometheus.query(name) and prometheus.query(over_time)))
    assert prometheus.numbers(name) == [pytest.approx(mrr)]
    assert prometheus.numbers(over_time) == [pytest.approx(mrr)]
    assert prometheus.numbers("proofrank_last_request_mrr") == [pytest.approx(mrr)]
    (series,) = prometheus.query("up")
    assert series["metric"]["job"] == "proofrank"


def test_every_query_of_the_dashboard_returns_data(
    serving: RunningServer, prometheus: RunningPrometheus
) -> None:
    def without_data() -> list[tuple[str, str]]:
        serving.client.post("/jobs", json={"split": "valid", "side": "tail", "corruptions": 2})
        return [
            (title, expression)
            for title, expression in expressions()
            if title not in WITHOUT_DATA and not any(map(math.isfinite, prometheus.numbers(expression)))
        ]

    until(serving, lambda: not without_data())
    assert without_data() == []
    for title, expression in expressions():
        if title in WITHOUT_DATA:
            prometheus.query(expression)  # the query is at least valid


def test_no_alert_fires_on_a_server_that_is_well(
    serving: RunningServer, prometheus: RunningPrometheus
) -> None:
    assert until(serving, lambda: bool(prometheus.query("proofrank_ready")))
    assert prometheus.query('ALERTS{alertstate="firing"}') == []


def test_every_panel_says_what_it_shows_and_where_its_data_comes_from() -> None:
    datasources = yaml.safe_load(
        (MONITORING / "grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8")
    )
    (uid,) = (source["uid"] for source in datasources["datasources"])
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": uid}
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert all('instance=~"$instance"' in target["expr"] for target in panel["targets"])
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert set(WITHOUT_DATA) <= {panel["title"] for panel in PANELS}


def test_legends_have_short_hashes() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            assert "{{sha256}}" not in target.get("legendFormat", ""), panel["title"]
            if "sha256" in target["expr"]:
                assert "{{hash}}" in target["legendFormat"], panel["title"]


def test_the_mrr_of_jobs_is_shown_by_policy_with_points_and_each_activation_is_marked(
    serving: RunningServer, prometheus: RunningPrometheus, policy_folder: Path
) -> None:
    (panel,) = (panel for panel in PANELS if panel["title"] == "MRR of jobs, by policy")
    assert panel["fieldConfig"]["defaults"]["custom"]["showPoints"] == "always"
    queries = dict(expressions())
    (annotation,) = ANNOTATIONS
    client, done = serving.client, {}
    before = time.time()
    for name in ("run-a", "run-b"):
        uploaded = client.put(f"/policies/{name}?activate=true", files=files_of(policy_folder))
        assert uploaded.status_code in (200, 201), uploaded.text
        job_id = client.post("/jobs", json={"split": "test", "corruptions": 2, "policy": name}).json()["id"]
        while (job := client.get(f"/jobs/{job_id}").json())["state"] != "done":
            time.sleep(0.02)
        done[name] = (job["metrics"]["mrr"], uploaded.json()["sha256"])

    def series() -> dict[str, dict[str, Any]]:
        query = panel["targets"][0]["expr"].replace("$instance", ".+")
        found = [each for each in prometheus.query(query) if each["metric"]["split"] == "test"]
        return {each["metric"]["policy"]: each for each in found}

    assert until(serving, lambda: set(done) <= set(series()))
    for name, (mrr, sha256) in done.items():
        assert float(series()[name]["value"][1]) == pytest.approx(mrr)
        assert series()[name]["metric"]["hash"] == sha256[:8]
    assert until(
        serving,
        lambda: any(
            each["metric"]["policy"] == "run-b" for each in prometheus.query(queries[annotation["name"]])
        ),
    )
    (mark,) = prometheus.query(queries[annotation["name"]])
    assert annotation["useValueForTime"]
    assert before <= float(mark["value"][1]) / 1000 <= time.time()
    assert mark["metric"]["hash"] == done["run-b"][1][:8]


def test_the_interval_of_a_job_to_a_tolerance_is_shown_and_what_it_left_open(
    serving: RunningServer, prometheus: RunningPrometheus
) -> None:
    panels = {panel["title"]: panel for panel in PANELS}
    ends = [target["expr"] for target in panels["Interval of the MRR of jobs"]["targets"]]
    client = serving.client
    wanted = {"queries": QUERIES * 12, "corruptions": "all", "mrr_tolerance": 0.2}
    job_id = client.post("/jobs", json=wanted).json()["id"]
    while (job := client.get(f"/jobs/{job_id}").json())["state"] != "done":
        time.sleep(0.02)
    interval = job["intervals"]["intervals"]["mrr"]
    assert interval[0] < interval[1]
    assert job["intervals"]["open"] > 0

    def shown() -> list[float]:
        of_queries = [
            [
                float(series["value"][1])
                for series in prometheus.query(end.replace("$instance", ".+"))
                if series["metric"]["split"] == "queries"
            ]
            for end in ends
        ]
        return [number for numbers in of_queries for number in numbers]

    assert until(serving, lambda: shown() == [pytest.approx(end) for end in interval])
    assert prometheus.numbers("sum(proofrank_open_candidates_total)") == [job["intervals"]["open"]]


def test_the_series_of_jobs_are_bounded_whatever_clients_upload() -> None:
    collector = JobMrrCollector()
    for number in range(1000):
        collector.record(f"epoch-{number}", f"{number:064x}", "valid", 0.5, 0.5)
        collector.record("run", f"{number:064x}", None, number / 1000, number / 1000)
    family, *ends = collector.collect()
    assert [len(each.samples) for each in (family, *ends)] == [MAX_SERIES] * 3
    (of_run,) = (sample for sample in family.samples if sample.labels["policy"] == "run")
    assert (of_run.value, of_run.labels["split"]) == (0.999, "queries")
    collector.keep({"run"})
    collector.record("deleted", "0" * 64, "test", 1.0, 1.0)
    family, *_ = collector.collect()
    assert [sample.labels["policy"] for sample in family.samples] == ["run"]


def test_an_mrr_that_is_not_known_has_its_ends_alone() -> None:
    collector = JobMrrCollector()
    collector.record("run", "0" * 64, "valid", 0.7, 0.72)
    known, low, high = collector.collect()
    assert not known.samples
    assert [family.samples[0].value for family in (low, high)] == [0.7, 0.72]
