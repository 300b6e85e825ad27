"""Every file of deploy/ is read by the program it is for, or by a linter of it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config

from tests.conftest import REPOSITORY
from tests.deploy.dockerfile import instructions

DEPLOY = REPOSITORY / "deploy"
BIN = Path(sys.executable).parent


def run(*arguments, **options):
    return subprocess.run(
        [str(part) for part in arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,
    )


def load(name):
    return yaml.safe_load((DEPLOY / name).read_text())


@pytest.mark.parametrize(
    "path", sorted(DEPLOY.rglob("*.yaml")), ids=lambda path: str(path.relative_to(DEPLOY))
)
def test_yaml_has_no_key_twice(path):
    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader, node):
        keys = [
            loader.construct_object(key)
            for key, _ in node.value
            if key.tag != "tag:yaml.org,2002:merge"
        ]
        assert len(keys) == len(set(keys)), f"{path.name}: {keys}"
        loader.flatten_mapping(node)
        return dict(loader.construct_pairs(node))

    Strict.add_constructor("tag:yaml.org,2002:map", mapping)
    for document in yaml.load_all(path.read_text(), Strict):
        assert document


def test_dockerfile_passes_hadolint():
    done = run(BIN / "hadolint", DEPLOY / "Dockerfile")

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("target", ["host", "cpu", "cuda"])
def test_image_runs_as_an_ordinary_user_and_says_whether_it_is_well(target):
    base = {}
    for stage, keyword, rest in instructions():
        if keyword == "FROM":
            base[stage] = rest.split(" AS ")[0]
    stages, stage = [], target
    while stage in base:
        stages.append(stage)
        stage = base[stage]
    own = [(s, keyword, rest) for s, keyword, rest in instructions() if s in stages]

    assert [rest for _, keyword, rest in own if keyword == "USER"] == ["10001:10001"]
    assert any(keyword == "HEALTHCHECK" for _, keyword, _ in own)
    assert not any("latest" in rest for _, keyword, rest in own if keyword == "FROM")


def test_what_the_dockerfile_copies_exists_and_reaches_the_builder():
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    for _, keyword, rest in instructions():
        if keyword != "COPY" or "--from" in rest:
            continue
        *sources, _ = [word for word in rest.split() if not word.startswith("--")]
        for source in sources:
            assert (REPOSITORY / source).exists(), source
            above = [source, *(str(folder) for folder in Path(source).parents)]
            is_let_through = any(f"!{folder}" in allowed for folder in above)
            assert is_let_through or f"!{source}/*.py" in allowed, source


def test_all_python_of_the_code_location_reaches_the_image():
    for folder in ("assets", "resources"):
        nested = [p for p in (REPOSITORY / folder).rglob("*.py") if p.parent.name != folder]
        assert nested == [], "the .dockerignore lets only one level through"


def test_compose_files_fit_the_specification():
    files = [DEPLOY / "compose.yaml", DEPLOY / "compose.gpu.yaml"]
    done = run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", *files)

    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_publishes_on_loopback_only_and_shows_no_password():
    services = load("compose.yaml")["services"]

    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(ports) == {"webserver", "viewer"}
    assert all(port.startswith("127.0.0.1:") for own in ports.values() for port in own)
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable:
                assert variable.endswith("_FILE"), name
                assert value.startswith("/run/secrets/")
        assert "latest" not in service["image"]
        if name != "postgres":
            assert service["cap_drop"] == ["ALL"]
            assert service["read_only"] is True


def test_compose_names_only_what_it_defines():
    compose = load("compose.yaml")
    for name, service in compose["services"].items():
        assert set(service.get("depends_on", {})) <= set(compose["services"]), name
        assert set(service["networks"]) <= set(compose["networks"])
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), source
            elif not source.startswith("$"):
                assert source in compose["volumes"], source
        build = service.get("build")
        if build:
            assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
            assert build["target"] in {stage for stage, _, _ in instructions()}
    assert set(load("compose.gpu.yaml")["services"]) <= set(compose["services"])


def test_every_variable_that_dagster_yaml_asks_for_is_given():
    asked = set(re.findall(r"env: (\w+)", (DEPLOY / "server/dagster.yaml").read_text()))
    asked |= set(re.findall(r"env: (\w+)", (DEPLOY / "server/workspace.yaml").read_text()))
    for name in ("webserver", "daemon"):
        given = load("compose.yaml")["services"][name]["environment"]
        assert asked <= {variable.removesuffix("_FILE") for variable in given}, name


@pytest.mark.parametrize("name", ["dagster.yaml", "server/dagster.yaml"])
def test_dagster_accepts_the_instance_settings(name, tmp_path, monkeypatch):
    shutil.copy(DEPLOY / name, tmp_path / "dagster.yaml")

    config, _ = dagster_instance_config(str(tmp_path))

    assert config["telemetry"]["enabled"] is False
    assert config["concurrency"]["pools"]["granularity"] == "op"
    assert config["run_retries"]["retry_on_asset_or_op_failure"] is False
    # The slot of a killed run is given back at a look of the monitoring, else after 120 s.
    assert config["run_monitoring"]["poll_interval_seconds"] <= 30
    assert config["freshness"]["enabled"] is True


def test_shell_scripts_pass_shellcheck():
    scripts = [DEPLOY / "entrypoint.sh", DEPLOY / "hpc/segment.sbatch"]
    scripts += [REPOSITORY / ".ci" / name for name in ("run", "wheel", "release")]
    done = run(BIN / "shellcheck", *scripts)

    assert done.returncode == 0, done.stdout


def test_entrypoint_reads_secrets_from_files_and_prints_none(tmp_path):
    secret = tmp_path / "password"
    secret.write_text('it\'s a "s3cret" $HOME `x`\n')
    show = "import os; assert os.environ['PGPASSWORD'] == 'it\\'s a \"s3cret\" $HOME `x`'"
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD_FILE": str(secret)}

    done = run(DEPLOY / "entrypoint.sh", sys.executable, "-c", show, env=environment)
    missing = run(
        DEPLOY / "entrypoint.sh", "true", env=environment | {"PGPASSWORD_FILE": "/nowhere"}
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert missing.returncode == 1
    assert "cannot be read" in missing.stderr


def test_slurm_parts_take_every_slide_once(tmp_path):
    slides = [f"/slides/a {i}.svs" for i in range(7)]
    (tmp_path / "slides.txt").write_text("\n".join(slides) + "\n")
    (tmp_path / "apptainer").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >> taken.txt\n')
    (tmp_path / "apptainer").chmod(0o755)
    for part in range(1, 4):
        done = run(
            *("bash", DEPLOY / "hpc/segment.sbatch", "slides.txt", "results"),
            cwd=tmp_path,
            env=os.environ
            | {
                "APPTAINER": str(tmp_path / "apptainer"),
                "SLURM_ARRAY_TASK_ID": str(part),
                "SLURM_ARRAY_TASK_COUNT": "3",
            },
        )
        assert done.returncode == 0, done.stderr

    taken = (tmp_path / "taken.txt").read_text().splitlines()
    assert sorted(line for line in taken if line.startswith("/slides")) == slides
    assert taken.count("results/part-0001") == 1


def test_slurm_part_that_is_told_to_stop_passes_it_on_and_asks_to_run_again(tmp_path):
    (tmp_path / "slides.txt").write_text("/slides/a.svs\n")
    programs = {
        "apptainer": "#!/bin/bash\ntrap 'echo stopped > stopped; exit 130' TERM\n"
        "touch started; while :; do sleep 0.1; done\n",
        "scontrol": '#!/bin/sh\necho "$@" > requeued\n',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    script = (
        f"bash {DEPLOY}/hpc/segment.sbatch slides.txt results & child=$!; "
        "while [ ! -e started ]; do sleep 0.1; done; kill -TERM $child; wait $child"
    )
    done = run(
        # A shell cannot trap what was ignored when it began, as in some CI's background.
        *("env", "--default-signal=TERM", "bash", "-c", script),
        cwd=tmp_path,
        env=os.environ
        | {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "SLURM_ARRAY_TASK_ID": "1",
            "SLURM_ARRAY_TASK_COUNT": "1",
            "SLURM_JOB_ID": "77",
        },
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "stopped").exists()
    assert (tmp_path / "requeued").read_text() == "requeue 77\n"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_accepts_the_units(tmp_path):
    """With programs that exist here in the place of ours."""
    for unit in (DEPLOY / "systemd").glob("*.service"):
        text = re.sub(r"/opt/hoverfast/.venv/bin/\S+", "/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    done = run("systemd-analyze", "verify", "--man=no", *tmp_path.glob("*.service"))
    ours = [line for line in done.stderr.splitlines() if "hoverfast" in line]

    assert ours == []


@pytest.mark.parametrize("name", ["webserver", "code"])
def test_bare_workstation_serves_on_loopback_only(name):
    text = (DEPLOY / f"systemd/hoverfast-{name}.service").read_text()

    assert " -h 127.0.0.1 " in text


def test_apptainer_definition_has_its_sections_and_its_files():
    text = (DEPLOY / "hpc/hoverfast.def").read_text()
    sections = re.split(r"^%(\w+)\n", text, flags=re.M)
    header, found = sections[0], dict(zip(sections[1::2], sections[2::2], strict=True))

    assert re.search(r"^Bootstrap: docker\nFrom: \S+:\S+$", header, re.M)
    assert {"files", "post", "environment", "runscript", "test"} <= set(found)
    for line in found["files"].split("\n"):
        if line.strip():
            assert (REPOSITORY / line.split()[0]).exists(), line
    for script in ("post", "runscript", "test"):
        done = run(BIN / "shellcheck", "--shell=sh", "-", input=found[script])
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["ci.yaml", "release.yaml"])
def test_workflow_is_a_workflow_with_pinned_actions_and_no_rights(name):
    workflow = REPOSITORY / ".github/workflows" / name
    schema = run(BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow)
    findings = run(BIN / "zizmor", "--offline", "--persona=auditor", workflow)

    assert schema.returncode == 0, schema.stdout + schema.stderr
    assert findings.returncode == 0, findings.stdout


def test_workflow_and_ci_call_only_targets_that_exist():
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.M))
    for name in (".github/workflows/ci.yaml", ".github/workflows/release.yaml", ".ci/run"):
        called = set(re.findall(r"\bmake ([a-z0-9-]+)", (REPOSITORY / name).read_text()))
        assert called, name
        assert called <= targets, name
