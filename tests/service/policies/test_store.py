"""Which policy is live after a restart, and what is kept, however the server ended before."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from proofrank.core.errors import PolicyError
from proofrank.core.graph import Dataset
from proofrank.core.policy import Policy, load_policy
from proofrank.service.errors import PolicyInUse, TooManyPolicies
from proofrank.service.policies.policy_at_start import PolicyAtStart, policy_name
from proofrank.service.policies.policy_files import PARTS
from proofrank.service.policies.store import PolicyStore
from proofrank.service.storage.data_folder import (
    DataFolder,
    DataFolderError,
    DataFolderFullError,
    disk_full_as_error,
)
from proofrank.service.storage.database import Database
from proofrank.service.telemetry.metrics import ServiceMetrics
from tests.helpers.family import write_untrained_policy
from tests.helpers.serving import RunningServer
from tests.helpers.uploads import files_of, multipart, multipart_type


@dataclass
class Restarting:
    """A store that is opened again and again, as by restarts of a server."""

    data: Path
    configured: Path
    dataset: Dataset
    store: PolicyStore
    database: Database
    at_start: PolicyAtStart = field(init=False)

    def start(self) -> Policy:
        """Restarts, and returns the live policy."""
        self.database.close()
        self.database = Database.open(self.data)
        self.store = PolicyStore(self.data, self.database, max_policies=3)
        self.at_start = PolicyAtStart(self.store, self.configured, ServiceMetrics())
        return self.at_start.first(self.dataset)

    def put(self, name: str, source: Path, *, live: bool) -> Policy:
        """Stores a policy like an upload does."""
        folder = self.store.files.new_folder()
        for part in PARTS:
            shutil.copyfile(source / part.file, folder / part.file)
        policy = dataclasses.replace(load_policy(folder), name=name)
        self.store.put(folder, policy, live=live)
        return policy

    def names(self) -> dict[str, str]:
        """Returns the stored names and their content."""
        return {record.name: record.sha256 for record in self.store.records()}

    def content(self, policy: Policy) -> Path:
        """Returns the folder of a policy's content."""
        return self.data / "policies" / policy.content_hash


@pytest.fixture
def other_folder(family_folder: Path, tmp_path: Path) -> Path:
    """A policy with other weights."""
    return write_untrained_policy(tmp_path / "other", family_folder, seed=1)


@pytest.fixture
def server(family: Dataset, policy_folder: Path, tmp_path: Path) -> Iterator[Restarting]:
    """A store that has been started once."""
    configured = tmp_path / "configured"
    shutil.copytree(policy_folder, configured)
    folder = DataFolder.open(tmp_path / "data")
    database = Database.open(folder.path)
    restarting = Restarting(folder.path, configured, family, PolicyStore(folder.path, database, 3), database)
    assert restarting.start().name == "configured"
    yield restarting
    restarting.database.close()
    folder.close()


def test_the_policy_activated_last_is_live_after_a_restart_and_the_log_says_why(
    server: Restarting, other_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    activated = server.put("epoch-1", other_folder, live=True)
    with caplog.at_level(logging.INFO, "proofrank"):
        live = server.start()
    assert (live.name, live.content_hash) == ("epoch-1", activated.content_hash)
    assert f"policy epoch-1 ({activated.content_hash}) is live: it was activated last" in caplog.text


def test_a_changed_policy_of_the_setting_goes_live_and_the_log_says_why(
    server: Restarting, other_folder: Path, family_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.put("epoch-1", other_folder, live=True)
    write_untrained_policy(server.configured, family_folder, seed=2)
    with caplog.at_level(logging.INFO, "proofrank"):
        live = server.start()
    assert (live.name, live.content_hash) == ("configured", load_policy(server.configured).content_hash)
    assert "is live: the setting policy has other content than at the last start" in caplog.text
    assert server.names()["configured"] == live.content_hash


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_policy_gives_way_to_that_of_the_setting_with_an_error_in_the_log(
    server: Restarting, other_folder: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    activated = server.put("epoch-1", other_folder, live=True)
    weights = server.content(activated) / "policy.safetensors"
    match damage:
        case "changed":
            weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
        case "cut":
            weights.write_bytes(weights.read_bytes()[:100])
        case "gone":
            shutil.rmtree(server.content(activated))
    assert server.start().name == "configured"
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].startswith(
        f"policy epoch-1 ({activated.content_hash}), which was activated last, is not live: "
    )
    assert "the stored policy 'epoch-1' cannot be used: " in errors[0]
    assert errors[0].endswith("; back to the policy of the setting")
    told = server.at_start.not_restored
    assert told is not None
    assert (told.name, told.sha256) == ("epoch-1", activated.content_hash)
    assert told.reason.startswith("the stored policy 'epoch-1' cannot be used: ")
    assert server.start().name == "configured"
    assert server.at_start.not_restored is None


def test_an_upload_repairs_damaged_content(server: Restarting, other_folder: Path) -> None:
    activated = server.put("epoch-1", other_folder, live=True)
    (server.content(activated) / "policy.safetensors").write_bytes(b"damaged")
    with pytest.raises(PolicyError, match="not a safetensors file"):
        server.store.load("epoch-1", activated.content_hash)
    server.put("epoch-1", other_folder, live=True)
    assert server.start().name == "epoch-1"


def test_the_content_that_is_live_is_kept_when_its_name_gets_other_content(
    server: Restarting, other_folder: Path
) -> None:
    server.put("configured", other_folder, live=False)
    live = server.start()
    assert live.content_hash == load_policy(server.configured).content_hash
    assert server.names()["configured"] == load_policy(other_folder).content_hash


def test_a_deleted_policy_of_the_setting_is_there_again_after_a_restart(
    server: Restarting, other_folder: Path
) -> None:
    server.put("epoch-1", other_folder, live=True)
    server.store.delete("configured")
    assert set(server.names()) == {"epoch-1"}
    assert server.start().name == "epoch-1"
    assert set(server.names()) == {"configured", "epoch-1"}


def test_what_unfinished_work_needs_is_neither_deleted_nor_removed_with_its_name(
    server: Restarting, other_folder: Path, policy_folder: Path
) -> None:
    needed = server.put("epoch-1", other_folder, live=False)
    contents = [needed.content_hash]
    server.store.add_user(lambda _: contents)
    with pytest.raises(PolicyInUse, match="'epoch-1' is needed by a job that has not ended"):
        server.store.delete("epoch-1")
    server.put("epoch-1", policy_folder, live=False)
    assert server.store.load("epoch-1", needed.content_hash).content_hash == needed.content_hash
    contents.clear()
    server.store.delete("epoch-1")
    assert not server.content(needed).exists()


def test_what_a_crash_left_is_swept_away_and_what_is_stored_stays(
    server: Restarting, other_folder: Path
) -> None:
    shutil.copytree(other_folder, server.data / "incoming" / "half")
    shutil.copytree(
        other_folder, server.data / "policies" / ("0" * 64)
    )  # moved there, but no name was written
    stored = server.put("epoch-1", other_folder, live=False)
    server.start()
    assert list((server.data / "incoming").iterdir()) == []
    kept = {folder.name for folder in (server.data / "policies").iterdir()}
    assert kept == {stored.content_hash, load_policy(server.configured).content_hash}


def test_too_many_policies_do_not_keep_that_of_the_setting_out(
    server: Restarting, other_folder: Path
) -> None:
    server.put("one", other_folder, live=True)
    server.put("two", other_folder, live=False)
    with pytest.raises(TooManyPolicies, match="there are 3 policies, and max_policies is 3"):
        server.put("three", other_folder, live=False)
    server.store.delete("configured")
    server.put("three", other_folder, live=False)
    server.start()
    assert len(server.names()) == 4


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("epoch-7", "epoch-7"),
        (".hidden", "hidden"),
        ("my policy (ü)", "my-policy-"),
        ("ü", "policy"),
        ("x" * 99, "x" * 64),
    ],
)
def test_a_folder_gives_a_name_that_the_api_takes(tmp_path: Path, folder: str, name: str) -> None:
    assert policy_name(tmp_path / folder) == name


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system, which is soon full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if mounted.returncode != 0:
        pytest.skip(f"file systems cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> None:
    """Fills ``disk`` completely."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 1024)


def test_on_a_full_disk_uploads_are_refused_while_policies_are_activated_and_deleted(
    small_disk: Path,
    family: Dataset,
    family_folder: Path,
    policy_folder: Path,
    other_folder: Path,
    tmp_path: Path,
) -> None:
    data = small_disk / "data"
    data.mkdir()
    database = Database.open(data)
    server = Restarting(data, policy_folder, family, PolicyStore(data, database, 9), database)
    server.start()
    one = server.put("one", other_folder, live=False)
    two = server.put("two", write_untrained_policy(tmp_path / "two", family_folder, seed=2), live=True)
    fill(small_disk)
    with (
        pytest.raises(DataFolderFullError, match="the data folder has no room for it"),
        disk_full_as_error(),
    ):
        server.put("three", other_folder, live=False)
    for _ in range(50):  # more than the log has room for
        server.store.make_live(one)
        server.store.make_live(two)
    server.store.delete("one")
    (small_disk / "filler").unlink()
    assert server.start().content_hash == two.content_hash
    assert set(server.names()) == {"untrained", "two"}
    server.database.close()

    fill(small_disk)
    with pytest.raises(DataFolderError, match=r"cannot be used: .*, because the disk is full"):
        Database.open(data)


def test_a_killed_server_goes_on_with_the_policy_that_was_live_and_without_half_an_upload(
    family_folder: Path, policy_folder: Path, other_folder: Path, tmp_path: Path
) -> None:
    arguments = [
        *("--dataset", str(family_folder), "--policy", str(policy_folder), "--engine", "original"),
        *("--data-folder", str(tmp_path / "data")),
    ]
    body = multipart(files_of(other_folder))
    with RunningServer(*arguments) as server:
        client = server.wait_until_ready().client
        answer = client.put("/policies/epoch-1", files=files_of(other_folder), params={"activate": True})
        before = client.get("/policies").json()
        assert answer.json() in before["policies"]
        url = httpx.URL(server.url)
        with socket.create_connection((url.host, url.port or 0), timeout=60) as connection:
            head = f"PUT /policies/half HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: {len(body)}\r\n"
            head += f"Content-Type: {multipart_type()['Content-Type']}\r\n\r\n"
            connection.sendall(head.encode() + body[:1000])
            while not any((tmp_path / "data" / "incoming").iterdir()):
                pass
            server.send(signal.SIGKILL)
            server.wait()
    with RunningServer(*arguments) as server:
        client = server.wait_until_ready().client
        assert client.get("/policies").json() == before
        assert client.get("/info").json()["policy"]["name"] == "epoch-1"
        assert not any((tmp_path / "data" / "incoming").iterdir())


def test_an_untrained_policy_of_the_setting_is_that_of_its_seed_and_is_stored(server: Restarting) -> None:
    server.configured = Path("untrained:3")
    live = server.start()

    assert live.name == "untrained-3"
    assert live.content_hash == load_policy("untrained:3", server.dataset).content_hash
    assert server.names()["untrained-3"] == live.content_hash
