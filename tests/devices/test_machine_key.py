"""The machine key stays while clocks, drivers and Python change."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_attn.devices.machine import cpu_model, machine_key, processor

XEON = "processor : 0\nmodel name\t: Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz\ncpu MHz\t\t: {mhz}\n"


def cpuinfo(folder: Path, text: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_cpu_is_named_by_model_and_cores(tmp_path: Path) -> None:
    found = machine_key(cpuinfo=cpuinfo(tmp_path, XEON.format(mhz="2793.4")), cores=4)
    assert found == "intel-xeon-platinum-8370c-4-cores"


def test_a_clock_reading_is_no_part_of_the_key(tmp_path: Path) -> None:
    slow = machine_key(cpuinfo=cpuinfo(tmp_path, XEON.format(mhz="800.0")), cores=4)
    assert slow == machine_key(cpuinfo=cpuinfo(tmp_path, XEON.format(mhz="3500.1")), cores=4)


def test_machines_of_other_core_counts_are_other_machines(tmp_path: Path) -> None:
    path = cpuinfo(tmp_path, XEON.format(mhz="1"))
    assert machine_key(cpuinfo=path, cores=2) != machine_key(cpuinfo=path, cores=4)


def test_an_accelerator_is_named_by_its_model_alone() -> None:
    assert machine_key("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3"


def test_a_system_without_cpuinfo_still_has_a_name(tmp_path: Path) -> None:
    assert cpu_model(tmp_path / "missing")


def test_an_accelerator_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="accelerator '---' has no letter"):
        machine_key("---")


@pytest.mark.parametrize("changed", ["instructions", "name", "gpu"])
def test_a_processor_is_known_by_its_name_its_instructions_and_its_gpus(changed: str, tmp_path: Path) -> None:
    words = {"name": "EPYC", "instructions": "avx2", "gpu": "H200"}

    def told(words: dict[str, str]) -> str:
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text(f"model name : {words['name']}\nflags : fpu {words['instructions']}\ncpu MHz : 1\n")
        information = tmp_path / "gpus" / "0000" / "information"
        information.parent.mkdir(parents=True, exist_ok=True)
        information.write_text(f"Model: {words['gpu']}\nIRQ: 7\n")
        return processor(cpuinfo, tmp_path / "gpus")

    assert told(words) == told(words)
    assert told(words) != told({**words, changed: "other"})
