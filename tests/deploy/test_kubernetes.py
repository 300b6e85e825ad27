"""What the chart's values come to: the pod of a run, computed by Dagster's own code."""

import re

import kubernetes.client
import kubernetes_validate
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job

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


def test_dagster_accepts_what_is_added_to_the_instance(tmp_path):
    """And nothing of it twice: the chart writes both parts into one file."""
    added = VALUES["additionalInstanceConfig"]
    daemon = VALUES["dagsterDaemon"]
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(added))
    config, _ = dagster_instance_config(str(tmp_path))
    server = yaml.safe_load((REPOSITORY / "deploy/server/dagster.yaml").read_text())

    assert daemon["runRetries"] == {"enabled": False}
    assert daemon["runCoordinator"]["config"] == {"queuedRunCoordinator": {}}
    assert config["run_retries"] == server["run_retries"]
    assert config["concurrency"]["pools"]["granularity"] == "op"
    monitoring = snake_case(daemon["runMonitoring"])
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"run_monitoring": monitoring}))
    config, _ = dagster_instance_config(str(tmp_path))
    assert config["run_monitoring"]["free_slots_after_run_end_seconds"] == 5


def test_the_chart_is_of_the_version_everything_is_tested_with():
    version = re.search(r"^dagster==(.+)$", (REPOSITORY / "constraints.txt").read_text(), re.M)
    assert version
    assert f"--version {version[1]}" in (FOLDER / "values.yaml").read_text()


def test_web_pages_stay_inside_the_cluster():
    assert VALUES["dagsterWebserver"]["service"]["type"] == "ClusterIP"
