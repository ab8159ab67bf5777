"""The start of a coordinator: what it reports of a data folder, and what it tells its replicas meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray.serve", reason="needs Ray Serve: pip install 'proofrank[ray]'")

from proofrank.core.graph import Dataset
from proofrank.core.policy import load_policy
from proofrank.service.app import create_app
from proofrank.service.errors import NotReady
from proofrank.service.on_ray.coordinator import create_app_in_free_folder
from proofrank.service.policies.records import LivePolicy
from proofrank.service.policies.registry import PolicyRegistry, Served
from proofrank.service.policies.replicas import NoReplicas
from proofrank.service.settings.settings import Settings, load_settings
from proofrank.service.storage.data_folder import DataFolder, DataFolderError, FolderInUseError
from proofrank.service.storage.database import DATABASE_FILE
from tests.helpers.family import write_untrained_policy


@pytest.fixture
def settings(family_folder: Path, policy_folder: Path, tmp_path: Path) -> Settings:
    """Settings with a new data folder."""
    given: dict[str, Any] = {"dataset": family_folder, "policy": policy_folder, "engine": "original"}
    return load_settings({**given, "data_folder": tmp_path / "data"}, environment={})


def test_a_database_that_cannot_be_opened_is_said_at_once_and_the_folder_is_free_again(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / DATABASE_FILE).write_bytes(b"no database" * 1000)
    began = time.monotonic()

    with pytest.raises(DataFolderError, match="file is not a database"):
        create_app_in_free_folder(settings, NoReplicas())

    assert time.monotonic() - began < 5
    DataFolder.open(folder).close()


def test_a_coordinator_waits_for_the_folder_until_the_one_before_has_ended(
    settings: Settings, tmp_path: Path
) -> None:
    before = DataFolder.open(tmp_path / "data")
    with pytest.raises(FolderInUseError, match="in use by another server"):
        create_app_in_free_folder(settings, NoReplicas(), patience_seconds=0.1)
    threading.Timer(0.7, before.close).start()

    app = create_app_in_free_folder(settings, NoReplicas(), patience_seconds=30)

    assert isinstance(app.state.services.policies, PolicyRegistry)


def test_no_replica_is_told_of_the_policy_before_while_a_start_with_another_one_is_under_way(
    settings: Settings, family: Dataset, family_folder: Path, tmp_path: Path
) -> None:
    other = write_untrained_policy(tmp_path / "other", family_folder, seed=1)

    async def served_from_the_start_on(settings: Settings) -> Served:
        app = create_app(settings)
        policies: PolicyRegistry = app.state.services.policies
        with pytest.raises(NotReady, match="not yet decided"):
            await policies.served()
        async with app.router.lifespan_context(app), asyncio.timeout(60):
            while True:
                with contextlib.suppress(NotReady):
                    return await policies.served()
                await asyncio.sleep(0.01)

    first = asyncio.run(served_from_the_start_on(settings))
    second = asyncio.run(served_from_the_start_on(settings.model_copy(update={"policy": other})))

    assert first.live == LivePolicy("untrained", load_policy(settings.policy).content_hash)
    assert second == Served(LivePolicy("other", load_policy(other).content_hash), family.content_hash)
