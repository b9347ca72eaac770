"""Which devices say that they are throttled, and what counts as throttled."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from pytest_attn.bench.throttle import never, throttle_of
from pytest_attn.devices.device import Device

CALLS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")


@pytest.fixture(params=CALLS)
def board(request, monkeypatch):
    """NVML of one GPU whose reasons can be set, under the newer and the older name of the call."""
    state = SimpleNamespace(reasons=0)
    nvml = SimpleNamespace(nvmlInit=lambda: None, nvmlDeviceGetHandleByUUID=lambda uuid: uuid)
    setattr(nvml, request.param, lambda handle: state.reasons if handle == "GPU-17" else pytest.fail(handle))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="17"))
    return state


def test_a_cpu_does_not_tell():
    assert throttle_of(Device("cpu")) is never
    assert never() is False


def test_a_gpu_without_nvml_does_not_tell(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert throttle_of(Device("cuda")) is never


@pytest.mark.parametrize(
    ("reasons", "throttled"), [(0, False), (0x1, False), (0x4, False), (0x8, True), (0x20, True), (0x44, True)]
)
def test_heat_and_lack_of_power_throttle_but_idleness_and_the_power_cap_do_not(board, reasons, throttled):
    board.reasons = reasons
    assert throttle_of(Device("cuda"))() is throttled
