"""The built-in sweeps, one file each. Importing this registers them."""

from pytest_attn.problem.sweeps import boundary, bsa, smoke

__all__ = ["boundary", "bsa", "smoke"]
