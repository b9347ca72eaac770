"""The cells that `gate_power.py` times: the shorter ones of the sweep `latency`, 2 to 15 ms on two CPU cores."""

import pytest_attn
from pytest_attn.plugin.latency import AttnBenchmark


@pytest_attn.parametrize(sweep="latency", group="latency_dense")
def test_dense(attn_benchmark: AttnBenchmark) -> None:
    """Judged and timed; `-k` chooses."""
    attn_benchmark(memory=False)


@pytest_attn.parametrize(sweep="latency", group="latency_causal")
def test_causal(attn_benchmark: AttnBenchmark) -> None:
    """Judged and timed; `-k` chooses."""
    attn_benchmark(memory=False)
