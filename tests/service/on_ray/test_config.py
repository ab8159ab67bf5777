"""Ray Serve accepts the files for it, and an error in one is reported when it is deployed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

pytest.importorskip("ray.serve", reason="needs Ray Serve: pip install 'proofrank[ray]'")

from ray.serve import Application
from ray.serve.schema import ServeDeploySchema

from proofrank.service.engine.host import EvaluatorHost
from proofrank.service.engine.lifecycle import READY
from proofrank.service.on_ray import serve_app
from proofrank.service.on_ray.health import EvaluatorHealth, NotUsableError
from proofrank.service.settings.settings import SettingsError, load_settings
from proofrank.service.telemetry.metrics import ServiceMetrics
from tests.helpers.serving import REPOSITORY

FILES = sorted((REPOSITORY / "deploy").glob("serve*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_names_both_applications_with_the_same_arguments_and_one_coordinator(path: Path) -> None:
    config = ServeDeploySchema.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))

    builders = {serve_app.COORDINATOR_APP: serve_app.coordinator, serve_app.RANKER_APP: serve_app.ranker}
    assert {application.name for application in config.applications} == set(builders)
    for application in config.applications:
        module, _, function = application.import_path.partition(":")
        assert getattr(serve_app, function) is builders[application.name]
        assert module == serve_app.__name__
        assert isinstance(builders[application.name](application.args), Application)
    coordinator, ranker = config.applications
    assert coordinator.args == ranker.args
    assert (coordinator.route_prefix, ranker.route_prefix) == ("/", "/rank")
    # Two coordinators would compete for the data folder.
    assert "num_replicas" not in coordinator.deployments[0].model_fields_set
    assert "autoscaling_config" not in coordinator.deployments[0].model_fields_set


def test_a_setting_that_is_unknown_or_means_nothing_on_ray_is_refused() -> None:
    with pytest.raises(SettingsError, match="enigne"):
        serve_app.coordinator({"settings": {"enigne": "eager"}})
    with pytest.raises(SettingsError, match="metrics_port is 9000"):
        serve_app.ranker({"settings": {"metrics_port": 9000}})
    with pytest.raises(ValidationError, match="lease_second"):
        serve_app.coordinator({"lease_second": 10})


def test_a_replica_whose_evaluator_cannot_be_loaded_is_not_healthy(tmp_path: Path) -> None:
    host = EvaluatorHost(load_settings({"dataset": tmp_path / "none"}, environment={}), ServiceMetrics())
    health = EvaluatorHealth(host)
    health.check()

    asyncio.run(host.start())

    with pytest.raises(NotUsableError, match="could not be loaded"):
        health.check()


class FailingHost(EvaluatorHost):
    """A host at the stage that a test sets."""

    shown = READY

    @property
    def stage(self) -> str:
        return self.shown


def test_a_replica_whose_evaluator_does_not_come_back_is_not_healthy() -> None:
    host = FailingHost(load_settings(environment={}), ServiceMetrics())
    health = EvaluatorHealth(host, patience_seconds=0.05)
    health.check()

    host.shown = "warm up"
    health.check()
    host.shown = READY
    health.check()
    host.shown = "warm up"
    health.check()
    time.sleep(0.1)

    with pytest.raises(NotUsableError, match="could not be made again"):
        health.check()
