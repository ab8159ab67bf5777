"""Names with HTML and scripts are shown as they are, and nothing in them runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from proofrank.client import Client
from proofrank.service.cli.main import main
from proofrank.service.client import Job
from tests.helpers.browser import Browser
from tests.helpers.datasets import write_dataset
from tests.helpers.family import write_untrained_policy
from tests.helpers.serving import RunningServer

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

IMAGE = "<img src=x onerror=window.hacked=1>"
SCRIPT = "</script><script>window.hacked=2</script>"
LINK = "javascript:window.hacked=3"
OTHERS = (
    '"><svg onload=window.hacked=4>',
    "├─ └─ [rule r1]",
    "__proto__",
    "{{7*7}}",
    "${window.hacked=5}",
    "constructor",
)
RELATION = "<b onclick=window.hacked=6>knows</b>"
LABEL = "<script>window.hacked=7</script>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [IMAGE, SCRIPT, LINK, *OTHERS]
    train = [f"{first}\t{RELATION}\t{second}" for first, second in itertools.pairwise(names)]
    test = [f"{IMAGE}\tfar\t{LINK}", f"{SCRIPT}\tfar\t{OTHERS[0]}"]
    rules = [f"'{RELATION}'(X,Y), '{RELATION}'(Y,Z) -> far(X,Z)"]
    folder = tmp_path_factory.mktemp("hostile") / "data"
    write_dataset(folder, train, [f"r1:1:{rule}" for rule in rules], test=test)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    policy = write_untrained_policy(tmp_path_factory.mktemp("policy") / "p", folder)
    arguments = ["--dataset", str(folder), "--policy", str(policy), "--engine", "original"]
    with RunningServer(*arguments) as running:
        running.wait_until_ready()
        with Client(running.url) as client:
            for seed in range(2):
                other = write_untrained_policy(tmp_path_factory.mktemp("policy") / "p", folder, seed)
                client.upload_policy(f"s-{seed}", other, run="hostile", step=seed, labels={"note": LABEL})
                client.evaluate("test", policy=f"s-{seed}", corruptions="all", progress=False)
        yield running


@pytest.fixture
def jobs(server: RunningServer) -> list[Job]:
    with Client(server.url) as client:
        return list(client.jobs(run="hostile"))


def look_at_everything(browser: Browser, start: str, jobs: list[Job]) -> None:
    """Opens every view with names in it; none may run anything."""
    b, a = jobs
    query = f"head={quote(IMAGE)}&relation=far&tail={quote(LINK)}&side=tail"
    shown = {
        "#/": "hostile step 1",
        "#/runs": LABEL,
        f"#/step/{b.id}": f"far({IMAGE}, {LINK})",
        f"#/compare/{a.id}/{b.id}": "MRR, macro",
        f"#/query/{a.id}/{b.id}?{query}": f"{RELATION}({IMAGE}, {SCRIPT})",
        "#/graph": f"far(X, Y) :- {RELATION}(X, Z), {RELATION}(Z, Y)",
        f"#/{quote(IMAGE, safe='')}/{quote(SCRIPT, safe='')}": "No such view",
        "#/query/%E0%A4%A?head=1": "No such view",
    }
    for address, text in shown.items():
        browser.open("about:blank")
        browser.open(f"{start}{address}")
        browser.until_text(text)
        assert browser.run("return [window.hacked, Object.prototype.hacked]") == [None, None], address
        assert browser.run("return document.querySelectorAll('img, svg, b, main script').length") == 0, (
            address
        )
        links = browser.run("return Array.from(document.links, (link) => link.getAttribute('href'))")
        assert all(link.startswith("#/") or link == "docs" for link in links), links


def test_names_are_text_on_the_page(server: RunningServer, jobs: list[Job], browser: Browser) -> None:
    look_at_everything(browser, f"{server.url}/", jobs)
    browser.open(f"{server.url}/#/ask?head={quote(IMAGE)}&relation=far&tail={quote(LINK)}")
    browser.until_text(f"{RELATION}({IMAGE}, {SCRIPT})")
    browser.until(lambda: len(browser.find_all("#head-names option")) == 1, "the completed name")
    assert browser.find("#head-names option").get_attribute("value") == IMAGE
    assert browser.run("return window.hacked") is None
    assert browser.complaints() == []


def test_names_are_text_in_a_report(
    server: RunningServer, jobs: list[Job], browser: Browser, tmp_path: Path
) -> None:
    ids = [job.id for job in jobs]
    assert main(["report", *ids, "--out", str(tmp_path / "report"), "--url", server.url]) == 0
    look_at_everything(browser, (tmp_path / "report" / "index.html").as_uri(), jobs)
    assert browser.complaints() == []
