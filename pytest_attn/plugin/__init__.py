"""The pytest plugin, as the entry point names it: what every run loads. The hooks of a run that has begun are in
`hooks.py`."""

from pytest_attn.plugin.entry import (
    FIXTURES,
    pytest_addoption,
    pytest_configure,
    pytest_generate_tests,
    pytest_pycollect_makeitem,
    pytest_sessionstart,
)

__all__ = [
    "pytest_addoption",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_plugins",
    "pytest_pycollect_makeitem",
    "pytest_sessionstart",
]

pytest_plugins = (FIXTURES,)
"""A plugin of its own, since a module here has the name of a fixture."""
