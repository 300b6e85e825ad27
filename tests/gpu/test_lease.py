"""Two runs on one GPU take turns, whatever name each of them gives it."""

import subprocess
import sys

import pytest
import torch

pytest.importorskip("dagster", reason="the lease is Dagster's runs': pip install '.[platform]'")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]

RUN = """
import sys, time
from hoverfast_platform.resources.artefact_folder import ArtefactFolder
from hoverfast_platform.resources.leased_device import LeasedDevice

root, device, seconds = sys.argv[1:]
compute = LeasedDevice(device=device, lease_dir=root)
with compute.leased(ArtefactFolder(root=root)) as name:
    print(time.time(), flush=True)
    time.sleep(float(seconds))
    print(time.time(), name, flush=True)
"""


def test_a_second_run_begins_when_the_first_gives_the_gpu_back(tmp_path):
    def start(device, seconds):
        return subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path), device, str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
        )

    first = start("cuda:0", 6)
    first.stdout.readline()  # it has the lease
    second = start("auto", 0)
    first_end, first_device = first.communicate(timeout=120)[0].split()
    second_begin, _, second_device = second.communicate(timeout=120)[0].split()

    assert float(second_begin) >= float(first_end)
    assert first_device in second_device.split(",")
