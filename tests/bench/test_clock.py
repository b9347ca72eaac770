"""Clocks: what is timed, in what order, on which device."""

from __future__ import annotations

import time

import pytest
import torch

from pytest_attn.bench.clock import CpuClock, EventClock, clock_for
from pytest_attn.devices.device import Device


class FakeBackend:
    """A backend like `torch.cuda` whose stream advances by what is queued on it, and which logs what it is asked."""

    def __init__(self):
        self.log = []
        self.milliseconds = 0.0

    def synchronize(self, device):
        self.log.append(f"synchronize {device}")

    def queue(self, name, milliseconds):
        self.log.append(name)
        self.milliseconds += milliseconds

    def Event(self, *, enable_timing):  # noqa: N802
        assert enable_timing
        return FakeEvent(self)


class FakeEvent:
    def __init__(self, backend):
        self.backend = backend

    def record(self):
        self.backend.log.append("record")
        self.at = self.backend.milliseconds

    def elapsed_time(self, end):
        return end.at - self.at


@pytest.fixture
def backend():
    return FakeBackend()


@pytest.fixture(params=["cuda:0", "npu:1"])
def clock(request, backend):
    return EventClock(backend, request.param, f"{request.param} events")


def test_the_cpu_clock_gives_the_wall_time_of_the_call():
    assert 0.02 <= CpuClock().measure(lambda: time.sleep(0.02)) < 0.5


def test_the_cpu_clock_leaves_out_what_runs_before():
    order = []
    seconds = CpuClock().measure(lambda: order.append("work"), lambda: (order.append("before"), time.sleep(0.05)))
    assert order == ["before", "work"]
    assert seconds < 0.05


def test_events_give_device_seconds_whatever_the_host_takes(backend, clock):
    assert clock.measure(lambda: (time.sleep(0.02), backend.queue("work", 3.0))) == pytest.approx(3e-3)


def test_the_device_is_idle_before_the_first_event_and_done_before_the_last_is_read(backend, clock):
    clock.measure(lambda: backend.queue("work", 1.0))
    wait = f"synchronize {clock.device}"
    assert backend.log == [wait, "record", "work", "record", wait]


def test_what_runs_before_is_queued_between_waiting_and_the_first_event(backend, clock):
    seconds = clock.measure(lambda: backend.queue("work", 1.0), lambda: backend.queue("flush", 8.0))
    wait = f"synchronize {clock.device}"
    assert backend.log == [wait, "flush", "record", "work", "record", wait]
    assert seconds == pytest.approx(1e-3)


def test_a_cpu_is_timed_with_perf_counter():
    assert clock_for(Device("cpu")) == CpuClock()


@pytest.mark.parametrize("name", ["cuda", "npu"])
def test_an_accelerator_is_timed_with_the_events_of_its_own_backend(monkeypatch, backend, name):
    monkeypatch.setattr(torch, name, backend, raising=False)
    monkeypatch.setattr(Device, "missing", None)
    monkeypatch.setattr(Device, "torch", f"{name}:0")
    assert clock_for(Device(name)) == EventClock(backend, f"{name}:0", f"{name} events")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_missing_device_has_no_clock():
    with pytest.raises(ValueError, match="clock: device cuda is missing: no cuda device"):
        clock_for(Device("cuda"))
