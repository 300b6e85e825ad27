"""Every package of the images is one that was tested, and is taken by the digest of its file."""

import re
import tomllib

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.deploy.dockerfile import DEPLOY, instructions

LOCKS = sorted((DEPLOY / "locks").glob("*.txt"))
PIN = re.compile(r"^([\w.-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M)


def name_of(requirement):
    return re.match(r"[\w-]+", requirement)[0].lower().replace("_", "-")


def pins(path):
    return {name: version for name, version, _ in PIN.findall(path.read_text())}


def constraints():
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    return dict(line.lower().split("==") for line in lines if "==" in line)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_holds_tested_versions_with_digests_and_nothing_else(path):
    found = pins(path)

    assert found
    assert not PIN.sub("", path.read_text()).replace("# Made by `make lock`; do not edit.\n", "")
    versions = {name.replace("_", "-"): version for name, version in constraints().items()}
    assert {n: v for n, v in found.items() if versions.get(n, v) != v} == {}


def test_the_locks_hold_what_the_project_asks_for():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = {
        "engine": [*project["dependencies"], *extras["postgresql"]],
        "code": [
            *(*project["dependencies"], *extras["postgresql"]),
            *(*extras["platform"], *extras["s3"]),
        ],
    }
    for lock, requirements in wanted.items():
        names = {name_of(requirement) for requirement in requirements} - {"hoverfast-platform"}
        held = {*pins(DEPLOY / f"locks/{lock}.txt"), *pins(DEPLOY / "locks/torch-cuda.txt")}
        assert names - held == set(), "make lock"


def test_images_install_nothing_without_a_digest_but_pytorch_for_cpus():
    installs = [
        install
        for _, keyword, rest in instructions()
        if keyword == "RUN"
        for install in re.findall(r"pip\" install ([^&]*)", rest)
    ]
    hpc = (DEPLOY / "hpc/hoverfast.def").read_text().replace("\\\n", " ")
    installs += re.findall(r"pip install ([^&\n]*)", hpc)

    assert len(installs) >= 8
    own = [i for i in installs if re.search(r"--no-build-isolation (\.|/opt/src)\s*$", i.strip())]
    free = [i for i in installs if "--require-hashes" not in i and i not in own]
    assert len(free) == 1
    assert "torch-cpu.txt" in free[0]


def test_base_images_are_taken_by_digest():
    digest = re.compile(r"@sha256:[0-9a-f]{64}$")
    (base,) = [r for _, keyword, r in instructions() if keyword == "ARG" and "PYTHON=" in r]
    (hpc,) = re.findall(r"^From: (.*)$", (DEPLOY / "hpc/hoverfast.def").read_text(), flags=re.M)
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]

    assert digest.search(base)
    assert base.removeprefix("PYTHON=") == hpc
    assert digest.search(services["postgres"]["image"])
