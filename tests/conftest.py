"""How these tests share the machine: a worker of xdist and what it starts take their share of the cores."""

from __future__ import annotations

import os

from pytest_attn.devices.machine import usable_cores

# Before torch is imported, which reads this once. Threads in each other's way wait for a core ten times longer.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // workers)))
