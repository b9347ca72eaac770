"""How the tests of the FIAS model call it, and inputs that show which keys a row attends to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_attn.oracles.fias.model import fused_infer_attention_score

UPPER = torch.ones(2048, 2048, dtype=torch.bool).triu(1)
LOWEST = torch.finfo(torch.float32).min


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than these small problems, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def fias(query: Tensor, key: Tensor, value: Tensor, **arguments: Any) -> tuple[Tensor, Tensor]:
    """The model on BNSD tensors, with the head counts of the shapes and the LSE asked for."""
    usual: dict[str, Any] = {"input_layout": "BNSD", "softmax_lse_flag": True, "scale": 0.5}
    usual |= {"num_heads": query.shape[1], "num_key_value_heads": key.shape[1]}
    return fused_infer_attention_score(query, key, value, **(usual | arguments))


def ramp(query_length: int, key_length: int, batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Zero logits and one-hot values: out[i, j] is 1 / count where row i attends to key j, else 0."""
    query = torch.zeros(batch, 1, query_length, 4)
    value = torch.eye(key_length).expand(batch, 1, -1, -1)
    return query, torch.zeros(batch, 1, key_length, 4), value


def attended(out: Tensor) -> list[list[int]]:
    """The keys that each row of the first head attends to, where the inputs are a ramp."""
    return [row.nonzero().flatten().tolist() for row in out[0, 0]]
