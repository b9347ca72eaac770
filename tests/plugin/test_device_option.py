"""--attn-device: where kernels run."""

from __future__ import annotations

import importlib.util

import pytest
import torch

WITHOUT_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
WITHOUT_NPU = pytest.mark.skipif(importlib.util.find_spec("torch_npu") is not None, reason="has torch_npu")


def test_by_default_it_is_the_cpu(judge, records):
    judge("--attn-output=out").stdout.fnmatch_lines(["attn device: cpu, * cores, *"])
    assert records()[0].device == "cpu"


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        pytest.param("cuda", "no cuda device", marks=WITHOUT_CUDA),
        pytest.param("npu", "torch_npu is not installed", marks=WITHOUT_NPU),
    ],
)
def test_a_device_that_the_machine_lacks_is_not_here_and_not_green(judge, device, reason):
    result = judge(f"--attn-device={device}", "--attn-kernel=kernels.py:dense")
    result.assert_outcomes(skipped=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"SKIPPED * not here: {reason}", "*| ran 0 |*| not here 1 |*"])


@pytest.mark.parametrize("device", ["cuda", "npu"])
def test_a_kernel_for_the_cpu_does_not_claim_another_device(judge, device):
    result = judge(f"--attn-device={device}", "--attn-kernel=block_sparse")
    result.stdout.fnmatch_lines([f"SKIPPED * not claimed: device {device}"])


def test_the_fixture_is_that_device(pytester):
    pytester.makepyfile("def test_device(device):\n    assert device.type == 'cuda' and device.index == 1")
    pytester.runpytest("--attn-device=cuda:1").assert_outcomes(passed=1)


def test_the_ini_twin_sets_it(judge, pytester):
    pytester.makeini("[pytest]\nattn_device = cuda:99")
    result = judge("--attn-kernel=kernels.py:dense")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * not here: no *"])


@pytest.mark.parametrize("value", ["gpu", "cud", "cuda:x", "cuda:", "cpu:0", "cpu,gpu", "CPU", ""])
def test_an_unknown_device_is_refused_with_those_that_exist(refusal, value):
    wrong = value.rpartition(",")[2]
    said = refusal(f"--attn-device={value}")
    assert said.startswith(f"--attn-device: unknown device '{wrong}'; allowed: cpu, cuda, cuda:N, npu, npu:N")
