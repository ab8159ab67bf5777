"""Files for Kubernetes and for Ray Serve with GPUs, as far as they can be checked without a cluster."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import yaml

from proofrank.service.app import create_app
from proofrank.service.settings.settings import PREFIX, Settings, SettingsError, load_settings
from proofrank.service.web import server
from proofrank.service.web.request_middleware import METRICS_PATH
from tests.helpers.dockerfile import stage
from tests.helpers.serving import REPOSITORY

DOCUMENTS: list[dict[str, Any]] = list(
    yaml.safe_load_all((REPOSITORY / "deploy/kubernetes.yaml").read_text(encoding="utf-8"))
)
KUBERNETES_VERSIONS = ("1.29", "1.37")
"""Versions whose schemas the manifest is held against."""

GPU_FILES = ("serve.yaml", "serve-gpu.yaml")


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [document for document in DOCUMENTS if document["kind"] == kind]


DEPLOYMENT: dict[str, Any] = of_kind("Deployment")[0]["spec"]
POD: dict[str, Any] = DEPLOYMENT["template"]["spec"]
CONTAINER: dict[str, Any] = POD["containers"][0]


def settings_of_the_image_and_the_pod() -> Settings:
    """The settings with which the server starts in the pod, without the secret."""
    variables = {
        f"{PREFIX}{name}": value for name, value in re.findall(rf"{PREFIX}(\w+)=(\S+)", stage("cuda"))
    }
    variables |= {variable["name"]: variable["value"] for variable in CONTAINER["env"] if "value" in variable}
    return load_settings(environment=variables)


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_the_manifest_has_the_schema_of_kubernetes(document: dict[str, Any], version: str) -> None:
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="needs Kubernetes' schemas: pip install 'proofrank[test]'"
    )

    assert kubernetes_validate.validate(document, version, strict=True) == version


def test_a_misspelt_field_of_the_manifest_is_found() -> None:
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="needs Kubernetes' schemas: pip install 'proofrank[test]'"
    )
    [volume] = [
        one for one in of_kind("PersistentVolumeClaim") if one["metadata"]["name"] == "proofrank-data"
    ]
    damaged = {**volume, "spec": {**volume["spec"], "accessmodes": ["ReadWriteOnce"]}}

    with pytest.raises(kubernetes_validate.ValidationError, match="accessmodes"):
        kubernetes_validate.validate(damaged, KUBERNETES_VERSIONS[0], strict=True)


def test_one_server_at_a_time_owns_the_data_folder() -> None:
    assert DEPLOYMENT["replicas"] == 1
    assert DEPLOYMENT["strategy"] == {"type": "Recreate"}


def test_the_folders_of_the_image_are_volumes_that_its_user_may_write() -> None:
    settings = settings_of_the_image_and_the_pod()
    claims = {one["metadata"]["name"] for one in of_kind("PersistentVolumeClaim")}
    claim_of = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in POD["volumes"]
        if "persistentVolumeClaim" in volume
    }
    mounted = {mount["mountPath"]: mount["name"] for mount in CONTAINER["volumeMounts"]}

    assert {
        claim_of[mounted[str(folder)]] for folder in (settings.data_folder, settings.cache_folder)
    } == claims
    [temporary] = [volume for volume in POD["volumes"] if volume["name"] == mounted["/tmp"]]
    assert "emptyDir" in temporary
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"] is True
    users = set(re.findall(r"^USER (\d+)$", stage("cuda"), flags=re.MULTILINE))
    context = POD["securityContext"]
    assert users == {str(context["runAsUser"])} == {str(context["fsGroup"])}


def test_the_variables_of_the_manifest_are_settings_with_values_that_the_server_takes() -> None:
    names = [variable["name"] for variable in CONTAINER["env"]]

    assert {name.removeprefix(PREFIX).lower() for name in names} <= set(Settings.model_fields)
    assert settings_of_the_image_and_the_pod().device == "cuda"


def test_variables_that_kubernetes_sets_for_the_service_are_switched_off() -> None:
    [service] = of_kind("Service")
    variable = f"{service['metadata']['name'].upper()}_PORT"
    with pytest.raises(SettingsError, match=f"{variable} in the environment"):
        load_settings(environment={variable: "tcp://10.0.0.1:8000"})

    assert POD["enableServiceLinks"] is False


def test_ports_and_paths_are_those_of_the_server() -> None:
    settings = settings_of_the_image_and_the_pod()
    paths = create_app(settings).openapi()["paths"]
    [port] = CONTAINER["ports"]
    [service] = of_kind("Service")

    assert port["containerPort"] == settings.port
    assert [(one["port"], one["targetPort"]) for one in service["spec"]["ports"]] == [
        (settings.port, port["name"])
    ]
    assert settings.host == ("0.0.0.0",)
    probes = {name: CONTAINER[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    asked = {name: probe["httpGet"]["path"] for name, probe in probes.items()}
    assert asked == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert all(probe["httpGet"]["port"] == port["name"] for probe in probes.values())
    annotations = DEPLOYMENT["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(settings.port)
    assert set(asked.values()) <= set(paths)
    assert annotations["prometheus.io/path"] == METRICS_PATH


def test_labels_lead_from_the_deployment_and_the_service_to_the_pod() -> None:
    labels = DEPLOYMENT["template"]["metadata"]["labels"].items()
    [service] = of_kind("Service")

    assert DEPLOYMENT["selector"]["matchLabels"].items() <= labels
    assert service["spec"]["selector"].items() <= labels


def test_the_pod_has_longer_to_stop_than_the_server_takes() -> None:
    settings = settings_of_the_image_and_the_pod()
    readiness = CONTAINER["readinessProbe"]
    longest = settings.drain_seconds + math.ceil(settings.grace_seconds) + server._SECONDS_AFTER_GRACE

    assert POD["terminationGracePeriodSeconds"] > longest
    unready_after = (readiness["failureThreshold"] + 1) * readiness["periodSeconds"]
    assert unready_after < settings.drain_seconds < settings.grace_seconds


def test_the_pod_has_one_gpu() -> None:
    assert CONTAINER["resources"]["limits"]["nvidia.com/gpu"] == 1
    # Kubernetes takes the limit as the request; a request that differs is refused.
    assert "nvidia.com/gpu" not in CONTAINER["resources"]["requests"]
    assert [one["key"] for one in POD["tolerations"]] == ["nvidia.com/gpu"]


@pytest.mark.parametrize("name", GPU_FILES)
def test_replicas_of_ray_have_a_share_of_a_gpu_that_holds_their_memory(name: str) -> None:
    config = yaml.safe_load((REPOSITORY / "deploy" / name).read_text(encoding="utf-8"))

    for application in config["applications"]:
        settings = load_settings(application["args"]["settings"], environment={})
        for deployment in application["deployments"]:
            share = deployment["ray_actor_options"]["num_gpus"]
            assert 0 < share <= 1
            assert settings.device_memory is None if share == 1 else (settings.device_memory or 1) < share
            assert deployment["graceful_shutdown_timeout_s"] > settings.grace_seconds
