import pytest
import torch

from sclip_lightning.errors import ConfigError
from sclip_lightning.model import devices
from sclip_lightning.model.devices import computes_bfloat16, resolve_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda:1")


@pytest.fixture(params=[True, False], ids=["native", "emulated"])
def native(request, monkeypatch):
    monkeypatch.setattr(devices, "computes_bfloat16", lambda device: request.param)
    return request.param


def test_auto_fits_the_machine(native):
    precision, why = resolve_precision("auto", CPU)
    assert precision == ("bf16-mixed" if native else "32-true")
    assert f"this CPU {'computes' if native else 'does not compute'} in bfloat16" in why


@pytest.mark.parametrize("recorded", ["32-true", "bf16-mixed"])
def test_what_was_begun_goes_on_as_it_was(native, recorded):
    precision, why = resolve_precision("auto", CPU, recorded)
    assert precision == recorded
    assert ("goes on as it was" in why) == (native != (recorded == "bf16-mixed"))
    assert ("though slowly" in why) == (recorded == "bf16-mixed" and not native)


def test_what_the_device_cannot_do_is_refused(native):
    with pytest.raises(ConfigError, match="computed in 16-mixed, which this CPU cannot do"):
        resolve_precision("auto", CPU, "16-mixed")
    assert resolve_precision("auto", GPU, "16-mixed")[0] == "16-mixed"


def test_what_is_named_is_taken(native):
    assert resolve_precision("32-true", CPU, "bf16-mixed") == ("32-true", "")
    with pytest.raises(ConfigError, match=r"no precision 'half'.*auto, 32-true"):
        resolve_precision("half", CPU)


@pytest.mark.parametrize(("major", "expected"), [(7, False), (8, True), (9, True)])
def test_gpus_compute_in_bfloat16_since_ampere(monkeypatch, major, expected):
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, 5 if device == GPU else 0))
    assert computes_bfloat16(GPU) == expected
    monkeypatch.setattr(torch.version, "hip", "6.0")
    assert computes_bfloat16(GPU)
    assert not computes_bfloat16(torch.device("mps"))


@pytest.mark.parametrize(("flag", "expected"), [("avx512_bf16", True), ("amx_bf16", True), ("avx512f", False)])
def test_cpus_say_so_by_a_flag(monkeypatch, tmp_path, flag, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, flag: True}, raising=False)
    assert computes_bfloat16(CPU) == expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # as before torch 2.11
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: a CPU\nflags\t\t: fpu sse2 {flag}\nbugs\t\t:\n")
    monkeypatch.setattr(devices, "CPU_FILE", file)
    assert computes_bfloat16(CPU) == expected
    monkeypatch.setattr(devices, "CPU_FILE", tmp_path / "none")
    assert not computes_bfloat16(CPU)
