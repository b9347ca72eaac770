"""The built-in sweeps, one file each. Importing this registers them."""

from pytest_attn.problem.sweeps import backward, boundary, bsa, core, decode, latency, smoke

__all__ = ["backward", "boundary", "bsa", "core", "decode", "latency", "smoke"]
