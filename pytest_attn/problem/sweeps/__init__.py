"""The built-in sweeps, one file per published suite. Importing this registers them."""

from pytest_attn.problem.sweeps import bsa, smoke

__all__ = ["bsa", "smoke"]
