"""What the chart's values come to: the pod of a run, computed by Dagster's own code."""

import os
import re
from pathlib import Path

import kubernetes.client
import kubernetes_validate
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job

from hoverfast_platform.resources.environment import Environment
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "kubernetes"
VALUES = yaml.safe_load((FOLDER / "values.yaml").read_text())
KUBERNETES = "1.33"

USER = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}


def snake_case(values):
    return {re.sub(r"([A-Z])", r"_\1", key).lower(): value for key, value in values.items()}


@pytest.fixture(scope="module")
def job():
    """As the launcher makes it: its own settings, and over them those of the code location.

    The chart hands these from a deployment to its runs, whether or not a run can live with them.
    """
    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    (location,) = VALUES["dagster-user-deployments"]["deployments"]
    handed_on = ("env", "volumes", "volumeMounts", "labels", "resources", "schedulerName")
    of_location = {key: location[key] for key in handed_on if key in location}
    context = K8sContainerContext.create_from_config(
        {"k8s": {"run_k8s_config": snake_case(launcher["runK8sConfig"])}}
    ).merge(K8sContainerContext.create_from_config({"k8s": snake_case(of_location)}))
    made = construct_dagster_k8s_job(
        DagsterK8sJobConfig(job_image="x:1", dagster_home="/home", image_pull_policy="Always"),
        args=["dagster", "api", "execute_run"],
        job_name="run",
        user_defined_k8s_config=context.run_k8s_config,
        component="run",
    )
    return kubernetes.client.ApiClient().sanitize_for_serialization(made)


def test_run_has_a_gpu_and_memory_for_a_slide(job):
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert container["resources"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": "1"}
    assert container["resources"]["requests"] == {"cpu": "4", "memory": "8Gi"}
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"


def test_run_sees_slides_results_and_the_catalogue_as_the_code_location_does(job):
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    given = {variable["name"]: variable for variable in container["env"]}

    assert {"/data/artefacts", "/data/slides", "/dev/shm"} <= set(mounts)
    assert mounts["/data/slides"]["readOnly"] is True
    assert {mount["name"] for mount in mounts.values()} == {v["name"] for v in pod["volumes"]}
    assert given["HOVERFAST_ARTEFACTS"]["value"] == "/data/artefacts"
    assert "secretKeyRef" in given["HOVERFAST_CATALOGUE"]["valueFrom"]


def test_pods_share_a_bucket_and_no_folder_that_they_write(job):
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    given = {variable["name"]: variable for variable in container["env"]}
    claims = {v["name"] for v in pod["volumes"] if "persistentVolumeClaim" in v}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}

    assert {m["mountPath"] for m in mounts.values() if m["name"] in claims} == {"/data/slides"}
    assert "emptyDir" in next(
        v for v in pod["volumes"] if v["name"] == mounts["/data/artefacts"]["name"]
    )
    assert Environment(shared=given["HOVERFAST_SHARED"]["value"]).shared.startswith("s3://")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        assert "secretKeyRef" in given[name]["valueFrom"]


def test_run_and_code_location_are_an_ordinary_user_that_may_write_results(job):
    pod = job["spec"]["template"]["spec"]
    (location,) = VALUES["dagster-user-deployments"]["deployments"]

    for user, container in (
        (pod["securityContext"], pod["containers"][0]),
        (location["podSecurityContext"], location),
    ):
        assert user == USER
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_kubernetes_knows_the_job_of_a_run_and_of_the_migration(job):
    migrate = yaml.safe_load((FOLDER / "migrate.yaml").read_text())
    for resource in (job, migrate):
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)


def test_runs_and_pools_are_limited_and_retried_as_on_a_server():
    server = yaml.safe_load((REPOSITORY / "deploy/server/dagster.yaml").read_text())
    concurrency = VALUES["concurrency"]
    monitoring = snake_case(VALUES["dagsterDaemon"]["runMonitoring"])

    assert snake_case(VALUES["dagsterDaemon"]["runRetries"]) == server["run_retries"]
    assert concurrency["enabled"] is True
    assert snake_case(concurrency["pools"]) == server["concurrency"]["pools"]
    for key in ("cancel_timeout_seconds", "free_slots_after_run_end_seconds"):
        assert monitoring[key] == server["run_monitoring"][key]


def test_the_chart_is_of_the_version_everything_is_tested_with():
    version = re.search(r"^dagster==(.+)$", (REPOSITORY / "constraints.txt").read_text(), re.M)
    assert version
    assert f"--version {version[1]}" in (FOLDER / "values.yaml").read_text()


def test_web_pages_stay_inside_the_cluster():
    assert VALUES["dagsterWebserver"]["service"]["type"] == "ClusterIP"


@pytest.fixture(scope="module")
def rendered():
    """All that the chart would make in the cluster."""
    if "HOVERFAST_RENDERED_CHART" not in os.environ:
        pytest.skip("HOVERFAST_RENDERED_CHART names no output of helm template: make test-chart")
    text = Path(os.environ["HOVERFAST_RENDERED_CHART"]).read_text()
    return [document for document in yaml.safe_load_all(text) if document]


def test_kubernetes_knows_all_that_the_chart_makes(rendered):
    assert {"Deployment", "Service", "ConfigMap"} <= {resource["kind"] for resource in rendered}
    for resource in rendered:
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)


def test_dagster_accepts_the_instance_that_the_chart_writes(rendered, tmp_path):
    (text,) = [
        resource["data"]["dagster.yaml"]
        for resource in rendered
        if resource["kind"] == "ConfigMap" and "dagster.yaml" in (resource["data"] or {})
    ]
    (tmp_path / "dagster.yaml").write_text(text)
    server = yaml.safe_load((REPOSITORY / "deploy/server/dagster.yaml").read_text())

    config, _ = dagster_instance_config(str(tmp_path))

    assert config["concurrency"]["pools"] == server["concurrency"]["pools"]
    assert config["run_retries"] == server["run_retries"]
    assert config["telemetry"] == {"enabled": False}
    assert config["nux"] == {"enabled": False}


def test_chart_gives_the_code_location_our_image_and_opens_nothing(rendered):
    images = {
        container["image"]
        for resource in rendered
        if resource["kind"] == "Deployment"
        for container in resource["spec"]["template"]["spec"]["containers"]
    }
    services = [resource["spec"] for resource in rendered if resource["kind"] == "Service"]

    assert "registry.example.org/hoverfast-cuda:0.1.0" in images
    assert {service["type"] for service in services} == {"ClusterIP"}
    assert not any(resource["kind"] in ("Ingress", "Secret") for resource in rendered)
