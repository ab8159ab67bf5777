"""The files of the page: what they are, how large, and that nothing but they can run."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from proofrank.service.page.assets import all_assets, page_html
from proofrank.service.web.page_paths import PAGE_FILES
from tests.helpers.keys import RANKER
from tests.helpers.serving import REPOSITORY, RunningServer
from tests.page.conftest import Trained

ASSETS = REPOSITORY / "service" / "page" / "assets"
VENDOR = ASSETS / "vendor"
MOST_BYTES = 100_000
LICENCES = {"MIT": "Permission is hereby granted, free of charge", "Apache-2.0": "Apache License"}


class Loaded(HTMLParser):
    """Collects what a page loads, and scripts and styles that stand in it."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get("src") or (given.get("href") if tag == "link" else None)
        if address:
            self.addresses.append(address)
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.inline.append(tag)
        self.inline += [name for name in given if name == "style" or name.startswith("on")]


def loaded(html: str) -> Loaded:
    parser = Loaded()
    parser.feed(html)
    return parser


def test_each_library_is_the_published_file_with_its_licence() -> None:
    listed = json.loads((VENDOR / "vendor.json").read_text())["files"]
    for file in listed:
        assert hashlib.sha256((VENDOR / file["file"]).read_bytes()).hexdigest() == file["sha256"], file
        assert re.fullmatch(r"\d+\.\d+\.\d+", file["version"])
        assert LICENCES[file["licence"]] in (VENDOR / file["licence_file"]).read_text()
    known = {file["file"] for file in listed} | {file["licence_file"] for file in listed} | {"vendor.json"}
    assert {path.name for path in VENDOR.iterdir()} == known


def test_the_page_loads_every_file_of_it_once_and_nothing_else() -> None:
    page = loaded(page_html())
    assert sorted(page.addresses) == sorted(f"page/{name}" for name in PAGE_FILES)
    assert page.inline == []
    on_disk = {path.relative_to(ASSETS).as_posix() for path in ASSETS.rglob("*") if path.is_file()}
    beside = {"index.html", "vendor/vendor.json"}
    assert on_disk - beside - {name for name in on_disk if "LICENSE" in name} == set(PAGE_FILES)


def test_all_of_it_is_small() -> None:
    files = [ASSETS / "index.html", *all_assets().values()]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < MOST_BYTES


def test_no_file_of_ours_names_another_host_or_makes_markup_of_text() -> None:
    for path in [
        *ASSETS.glob("*.js"),
        *ASSETS.glob("views/*.js"),
        ASSETS / "index.html",
        ASSETS / "style.css",
    ]:
        text = path.read_text(encoding="utf-8")
        assert "://" not in text, path
        assert not re.search(
            r"[iI]nnerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function", text
        ), path


@pytest.fixture
def http(trained: Trained) -> httpx.Client:
    return trained.server.client


def test_the_page_comes_with_a_policy_that_lets_only_its_own_files_run(http: httpx.Client) -> None:
    page = http.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    rules = dict(rule.strip().split(" ", 1) for rule in page.headers["content-security-policy"].split(";"))
    assert rules == {
        "default-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    types = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    for address in loaded(page.text).addresses:
        answer = http.get(f"/{address}")
        assert answer.status_code == 200, address
        assert answer.headers["content-type"].partition(";")[0] == types[Path(address).suffix[1:]]
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = http.get(f"/{address}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_page_is_open_and_what_it_shows_needs_a_key(
    family_folder: Path, policy_folder: Path, tmp_path: Path
) -> None:
    config = tmp_path / "proofrank.toml"
    config.write_text(RANKER.settings_lines)
    arguments = ["--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", "original"]
    with RunningServer(*arguments, "--config", str(config)) as running:
        client = running.wait_until_ready().client
        for address in ("/", *(f"/page/{name}" for name in PAGE_FILES)):
            assert client.get(address).status_code == 200, address
        for address in ("/activity", "/runs", "/jobs", "/jobs/1/rankings", "/jobs/1/groups", "/info"):
            assert client.get(address).status_code == 401, address
            assert client.get(address, headers=RANKER.headers).status_code in (200, 404), address


def test_the_page_works_under_the_path_of_a_proxy(family_folder: Path, policy_folder: Path) -> None:
    arguments = ["--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", "original"]
    with RunningServer(*arguments, "--root-path", "/ranks") as running:
        page = running.wait_until_listening().client.get("/").text
    assert '<base href="/ranks/">' in page


def test_a_path_of_a_proxy_cannot_break_out_of_the_page() -> None:
    assert '"><script>' not in page_html(base='/"><script>alert(1)</script>/')
