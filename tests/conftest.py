"""How these tests share the machine, and what is loaded before they run pytest inside pytest.

A worker of xdist and what it starts take their share of the cores.
"""

from __future__ import annotations

import os

import pytest

from pytest_attn.devices.machine import usable_cores

# Before torch is imported, which reads this once. Threads in each other's way wait for a core ten times longer.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // workers)))


@pytest.fixture(scope="session")
def loaded_once() -> None:
    """What may be loaded only once in a process, or takes long: pytester forgets what a run in this process imports.

    torch and its compiler register operators when they are imported; the compiler is loaded by the first dispatch mode.
    """
    import hypothesis
    import torch._dynamo

    import pytest_attn.execution.session
    import pytest_attn.kernels.builtin.block_sparse
    import pytest_attn.kernels.builtin.eager
    import pytest_attn.plugin.speed_gate

    assert all([hypothesis, torch, pytest_attn.execution.session]), "imported for their effect"


@pytest.fixture
def pytester(loaded_once: None, pytester: pytest.Pytester) -> pytest.Pytester:
    """That of pytest, made after all that is loaded once."""
    return pytester
