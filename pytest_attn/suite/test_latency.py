"""How fast a kernel is where it is right. Runs only where it is asked for: `--attn-sweep=latency`, this module, or
`--benchmark-only`."""

import pytest_attn
from pytest_attn.plugin.latency import AttnBenchmark
from pytest_attn.plugin.selection import CASES_GIVEN


@pytest_attn.parametrize(sweep="latency", group="latency_dense")
def test_latency_dense(attn_benchmark: AttnBenchmark) -> None:
    """Every dtype, 1 to 8 heads, head dimensions 64 and 128."""
    attn_benchmark()


@pytest_attn.parametrize(sweep="latency", group="latency_causal")
def test_latency_causal(attn_benchmark: AttnBenchmark) -> None:
    """Half of the pairs masked."""
    attn_benchmark()


@pytest_attn.parametrize(sweep="latency", group="latency_grouped_heads")
def test_latency_grouped_heads(attn_benchmark: AttnBenchmark) -> None:
    """Groups of 3, 4 and 8 query heads to a key head."""
    attn_benchmark()


@pytest_attn.parametrize(sweep="latency", group="latency_block_sparse")
def test_latency_block_sparse(attn_benchmark: AttnBenchmark) -> None:
    """Half, a quarter and a tenth of the blocks kept."""
    attn_benchmark()


@pytest_attn.parametrize(sweep="latency", group="latency_decode")
def test_latency_decode(attn_benchmark: AttnBenchmark) -> None:
    """One query against a long cache, which the rest of a model has driven out of the CPU's caches."""
    attn_benchmark(cold=True)


@pytest_attn.parametrize(sweep="", group=CASES_GIVEN)
def test_latency_case(attn_benchmark: AttnBenchmark) -> None:
    """The cases that `--attn-case` names."""
    attn_benchmark()
