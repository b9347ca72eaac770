"""The built-in sweeps, one file each. Importing this registers them."""

from pytest_attn.problem.sweeps import boundary, bsa, core, latency, smoke

__all__ = ["boundary", "bsa", "core", "latency", "smoke"]
