"""A flush: what empties the caches of a device between two calls."""

from __future__ import annotations

from pathlib import Path

import torch

from pytest_attn.bench.clock import Work

UNKNOWN_CACHE_BYTES = 256 * 2**20
"""Taken where a device does not say how large its last-level cache is; the largest on the market are about that."""

CPU_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def flush_of(device: torch.device) -> Work:
    """Writes a buffer of twice the last-level cache, so that nothing else stays in it."""
    buffer = torch.zeros(2 * cache_bytes(device) // 4, dtype=torch.int32, device=device)
    return lambda: buffer.add_(1)


def cache_bytes(device: torch.device) -> int:
    """Size of the last-level cache of a device."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    sizes = [_bytes(path.read_text()) for path in CPU_CACHES.glob("index*/size")] if device.type == "cpu" else []
    return max(sizes, default=UNKNOWN_CACHE_BYTES)


def _bytes(text: str) -> int:
    """Of the kernel's spelling, such as `32768K`."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    text = text.strip()
    return int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text)
