"""Adapters of other people's kernels: what they say where the library is missing, and what they refuse."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_attn
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "benchmarks" / "third_party"
LIBRARIES = {
    "executorch_attention.py:attention": "executorch",
    "fla_attention.py:attention": "fla",
    "jax_attention.py:attention": "jax",
    "mlx_attention.py:attention": "mlx",
    "onnxruntime_attention.py:multi_head": "onnxruntime",
    "onnxruntime_attention.py:multi_head_square": "onnxruntime",
    "onnxruntime_attention.py:attention_23": "onnxruntime",
    "openvino_attention.py:attention": "openvino",
    "sage_attention.py:attention": "sageattention",
    "tinygrad_attention.py:attention": "tinygrad",
    "transformers_attention.py:llama": "transformers",
    "transformers_attention.py:gemma2": "transformers",
    "transformers_attention.py:gpt_oss": "transformers",
}
OF_TORCH = ("torch_attention.py:math", "torch_attention.py:flash")
SMALL = "b1-h2-s65-d64-float16-causal-out-exact"
OF_FLOAT32 = "b1-h2-s65-d64-float32-out-exact"


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Adapters are loaded anew, as if no library were installed."""
    for name in {*LIBRARIES.values(), "onnx"}:
        monkeypatch.setitem(sys.modules, name, None)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name == "refusals" or name.startswith("pytest_attn_kernel_"):
            del sys.modules[name]


def adapter(name: str) -> Kernel:
    """The kernel of an adapter."""
    return find_kernel(f"{FOLDER}/{name}")


@pytest.mark.parametrize(("name", "library"), LIBRARIES.items())
def test_an_adapter_without_its_library_skips_with_a_sentence(name: str, library: str) -> None:
    kernel = adapter(name)
    case = SMALL if "float16" in kernel.capabilities.dtypes else OF_FLOAT32
    found = pytest_attn.check_kernel(kernel, case=case)[0]
    assert found.outcome == "not claimed"
    assert f"{library} is not installed: docs/third-party.md says what to install" in found.why


@pytest.mark.parametrize("name", OF_TORCH)
@pytest.mark.parametrize(
    "case",
    [
        "b2-h4-kv2-s129x257-d40-bfloat16-out-exact",
        "b1-h2-s65-d64-float16-causal-large-out-exact",
        "b2-h6-kv1-s67x130-d64-bfloat16-grad-exact",
    ],
)
def test_a_back_end_of_torch_is_green_under_what_its_adapter_declares(name: str, case: str) -> None:
    assert pytest_attn.check_kernel(adapter(name), case=case)[0].outcome == "passed"


REFUSED = {
    "b1-h1-s65-d64-float32-causal-out-exact": False,
    "b1-h1-s65x130-d64-float32-out-exact": False,
    "b1-h1-s65x130-d64-float32-causal-topleft-out-exact": False,
    "b1-h1-s65x130-d64-float32-causal-out-exact": True,
    "b1-h1-s130x65-d64-float32-causal-out-exact": True,
    "b2-h1-s65-d64-float32-causal-ragged-out-exact": True,
}


@pytest.mark.parametrize(("case", "refused"), REFUSED.items())
def test_a_diagonal_that_lies_top_left_is_refused_where_the_other_lies_elsewhere(case: str, refused: bool) -> None:
    kernel = adapter("torch_attention.py:math")
    why = predicates(kernel)["causal with other lengths, which lies top-left"]
    assert why(Problem.of(Case.parse(case))) is refused


def predicates(kernel: Kernel) -> Any:
    """What a kernel refuses, by reason."""
    return kernel.capabilities.refuses


def test_every_adapter_is_on_the_page() -> None:
    page = (ROOT / "docs" / "third-party.md").read_text(encoding="utf-8")
    named = {f"{file}.py:{kernel}" for file, kernel in re.findall(r"`(\w+)\.py:(\w+)`", page)}
    assert named == {*LIBRARIES, *OF_TORCH}


def test_every_file_of_adapters_is_tested() -> None:
    files = {name.partition(":")[0] for name in (*LIBRARIES, *OF_TORCH)}
    assert files == {path.name for path in FOLDER.glob("*_attention.py")}
