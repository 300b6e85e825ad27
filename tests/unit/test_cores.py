"""What the processor is said to do, on Linux and elsewhere."""

import pytest
import torch

from hoverfast_platform import cores
from hoverfast_platform.config import Compute
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.inference import engine
from hoverfast_platform.inference.backends import choice
from hoverfast_platform.model.checkpoint import load_model


def test_features_come_from_linux_where_it_tells_them(monkeypatch, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(cores, "_CPUINFO", cpuinfo)

    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 amx_bf16\nbugs\t\t: none\n")
    assert cores.cpu_features() == {"fpu", "avx2", "amx_bf16"}
    assert cores.has_bfloat16()
    assert not cores.has_vnni()
    cpuinfo.write_text("processor: an arm that has no such line\n")
    assert cores.cpu_features() == frozenset()


def test_what_onednn_may_not_use_is_left_out(monkeypatch, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : fpu avx2 fma amx_bf16 avx512_vnni avx_vnni\n")
    monkeypatch.setattr(cores, "_CPUINFO", cpuinfo)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")

    assert cores.cpu_features() == {"fpu", "avx2", "fma"}
    assert cores.int8_arithmetic() == "avx2"


def test_elsewhere_torch_tells_them_or_none_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(cores, "_CPUINFO", tmp_path / "missing")
    told = {"avx512_vnni": True, "amx_bf16": False, "architecture": "x86_64"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)

    assert cores.cpu_features() == {"avx512_vnni"}
    assert cores.has_vnni()
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert cores.cpu_features() == frozenset()


@pytest.mark.parametrize(
    ("device", "n_cores", "fitting"),
    [("cpu", 2, (2, 1)), ("cpu", 16, (2, 4)), ("cuda:0", 16, (6, 9)), ("cuda:0", 2, (2, 1))],
)
def test_readers_and_workers_fit_the_cores(monkeypatch, device, n_cores, fitting):
    """A quarter of the cores beside prediction on a CPU; all but one beside a GPU."""
    monkeypatch.setattr(engine, "available_cores", lambda: n_cores)

    assert engine._fitting(device) == fitting


def test_without_openvino_torch_predicts_and_says_that_it_is_slow(monkeypatch):
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda _name: None)
    model = load_model("cross-organ")

    with pytest.warns(UserWarning, match="pip install openvino"):
        predictor = choice.make_predictor(model, Compute(device="cpu"))
    with pytest.raises(SettingsError, match="pip install openvino"):
        choice.make_predictor(model, Compute(device="cpu", precision="int8"))

    assert (predictor.backend, predictor.precision) == ("torch", "fp32")
