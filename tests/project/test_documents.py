"""What README and docs say of commands, settings, metrics and requests is what there is."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proofrank.service.cli.main import make_parser
from proofrank.service.settings.settings import Settings, show_value
from proofrank.service.telemetry.metrics import ServiceMetrics
from proofrank.service.telemetry.rejections import Rejection
from proofrank.service.wire import JobRequest, RankRequest, SampleRequest, WhyRequest
from tests.helpers.serving import REPOSITORY

DOCUMENTS = sorted(
    [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "load" / "README.md"]
)
BY_NAME = {path.name: path for path in DOCUMENTS if path.is_relative_to(REPOSITORY / "docs")}

_COMMAND = re.compile(r"\s*(?:\$ )?(?:\S+=\S+ )*(?:\.venv/bin/)?proofrank (?P<arguments>.+)")
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_PROGRAM = re.compile(r"python -m (?P<module>\w[\w.]*\w)")
_FILE = re.compile(
    r"(?<![\w./-])(?:benchmarks|core|deploy|examples|load|monitoring|service|tests|training)/[\w./-]*\w"
)
_HEADING = re.compile(r"^#+ (?P<text>.+)$", flags=re.MULTILINE)


def name_of(path: Path) -> str:
    """A document's path in the repository, which names its test."""
    return path.relative_to(REPOSITORY).as_posix()


def code_lines(path: Path) -> Iterator[str]:
    """The lines of a document's code blocks, fenced or indented, with continued lines joined."""
    is_fenced = False
    for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line.lstrip().startswith("```"):
            is_fenced = not is_fenced
        elif is_fenced or line.startswith("    "):
            yield line


def table_rows(path: Path, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = path.read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def metrics_page() -> list[str]:
    """The page about metrics, in two parts: metrics, and rules with alerts."""
    return BY_NAME["metrics.md"].read_text(encoding="utf-8").split("\n## Rules and alerts\n")


def commands_of(path: Path) -> list[str]:
    """The arguments of each ``proofrank`` command in a document's code blocks."""
    found = (_COMMAND.fullmatch(line) for line in code_lines(path))
    return [match["arguments"].split(" | ")[0] for match in found if match is not None]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_command_of_a_document_parses(path: Path) -> None:
    for command in commands_of(path):
        without_redirection = re.split(r"\s+(?:&|[12]?>|#)", command)[0]
        make_parser().parse_args(shlex.split(without_redirection))


def test_the_documents_have_commands_to_parse() -> None:
    assert sum(len(commands_of(path)) for path in DOCUMENTS) >= 1


def test_the_documented_settings_are_those_that_there_are() -> None:
    documented = table_rows(BY_NAME["operation.md"], "Settings")
    assert [row[0].strip("`") for row in documented] == list(Settings.model_fields)
    for (_, default, meaning), field in zip(documented, Settings.model_fields.values(), strict=True):
        assert meaning == field.description
        if default != "the package's countries" and default != "the package's policy":
            shown = {None: "unset", (): "none"}.get(field.default, show_value(field.default))
            assert default == shown


def test_the_documented_metrics_are_those_that_there_are() -> None:
    text = metrics_page()[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", text, flags=re.MULTILINE)
    assert len(rows) == len(dict(rows))
    exported = {
        family.name + "_total" * (family.type == "counter"): family.type
        for family in ServiceMetrics().registry.collect()
    }
    if sys.platform != "linux":  # elsewhere there are no metrics of the process
        exported |= {name: kind for name, kind in rows if name.startswith("process_")}
    assert dict(rows) == exported


def test_the_documented_labels_of_metrics_are_those_that_there_are() -> None:
    text = metrics_page()[0]
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\|([^|]*)\|", text, flags=re.MULTILINE)
    documented = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    for family in ServiceMetrics().registry.collect():
        name = family.name + "_total" * (family.type == "counter")
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == documented[name]


def test_every_reason_to_refuse_is_documented_and_asks_for_an_alert_or_says_why_not() -> None:
    page = metrics_page()
    (row,) = [line for line in page[0].splitlines() if "`proofrank_rejected_requests_total`" in line]
    assert re.findall(r"`(\w+)`", row.split("refused:")[1]) == list(Rejection)
    alerts = (REPOSITORY / "monitoring" / "alerts.yml").read_text(encoding="utf-8")
    (rule,) = [part for part in alerts.split("# Without refusals ")[1:] if "ProofrankRejecting" in part]
    why_not, alert = rule.split("- alert: ProofrankRejecting", 1)
    alerting = re.findall(r'reason=~"([^"]+)"', alert)[0].split("|")
    left_out = [reason for reason in Rejection if re.search(rf"\b{reason}\b", why_not)]
    assert sorted([*alerting, *left_out]) == sorted(Rejection)


def test_the_documented_rules_and_alerts_are_those_that_there_are() -> None:
    text = metrics_page()[1]
    monitoring = REPOSITORY / "monitoring"
    recorded = re.findall(r"- record: (\S+)", (monitoring / "rules.yml").read_text(encoding="utf-8"))
    assert re.findall(r"`(\w+:\w+:\w+)`", text) == recorded
    alerts = re.findall(r"- alert: (\S+)", (monitoring / "alerts.yml").read_text(encoding="utf-8"))
    assert re.findall(r"^\| `(Proofrank\w+)` \|", text, flags=re.MULTILINE) == alerts


def test_the_documented_fields_of_a_job_are_those_that_there_are() -> None:
    # Of the two tables there, the one of fields has four columns.
    documented = {row[0] for row in table_rows(BY_NAME["api.md"], "Jobs") if len(row) == 4}
    names = {name for cell in documented for name in re.findall(r"`([^`]+)`", cell)}
    assert names == set(JobRequest.model_fields)


def test_the_documented_fields_of_a_request_are_those_that_there_are() -> None:
    documented = {row[0] for row in table_rows(BY_NAME["api.md"], "`POST /rank`")}
    names = {name for cell in documented for name in re.findall(r"`([^`]+)`", cell)}
    for name in RankRequest.model_fields:
        assert name in names


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_request_of_a_document_is_one_that_is_taken(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for before, body in re.findall(r"(?m)^(.*)(?:-d|--data) '([^']+)'", text):
        models = {"/jobs": JobRequest, "/why": WhyRequest, "/sample": SampleRequest}
        model = next((model for path, model in models.items() if path in before), RankRequest)
        model.model_validate(json.loads(body))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_within_the_repository_leads_to_a_file(path: Path) -> None:
    targets = (match["target"] for match in _LINK.finditer(path.read_text(encoding="utf-8")))
    within = [target.split("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    missing = [target for target in within if not (path.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_to_a_heading_leads_to_one(path: Path) -> None:
    targets = [match["target"] for match in _LINK.finditer(path.read_text(encoding="utf-8"))]
    within = [target for target in targets if "#" in target and not re.match(r"[a-z]+:", target)]
    missing = []
    for target in within:
        page, anchor = target.split("#", 1)
        text = (path.parent / page if page else path).read_text(encoding="utf-8")
        headings = (match["text"].lower() for match in _HEADING.finditer(text))
        # As GitHub makes anchors of headings.
        if anchor not in {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}:
            missing.append(target)
    assert missing == []


# The changelog also names what was there before.
@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=name_of)
def test_every_program_and_file_that_a_document_names_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    modules = {match["module"] for match in _PROGRAM.finditer(text)}
    ours = {name for name in modules if re.match(r"(?:proofrank|tests|load|benchmarks|examples)\b", name)}
    places = {name: REPOSITORY.joinpath(*name.split(".")) for name in ours}
    assert [
        name for name, place in places.items() if not (place.is_dir() or place.with_suffix(".py").is_file())
    ] == []
    files = {match[0] for match in _FILE.finditer(text)}
    assert [name for name in files if not (REPOSITORY / name).exists()] == []
