"""The run behind the hooks, which begins when something of ours is asked for or met, and not before. Importing this
imports nothing else of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_attn.plugin.run import Run

RUN: pytest.StashKey[Run] = pytest.StashKey()
"""On the config: the run, once it has begun."""

BEGAN = pytest.StashKey[float]()
"""On the config: the reading of `perf_counter` when pytest was configured."""

SESSION = pytest.StashKey[pytest.Session]()
"""On the config: pytest's session."""


def run_of(config: pytest.Config) -> Run:
    """The run, begun where it had not; with it the hooks that it needs are there. Raises UsageError where the options
    make no sense."""
    if RUN not in config.stash:
        from pytest_attn.plugin import hooks

        hooks.begin(config)
        config.pluginmanager.register(hooks, "pytest_attn.hooks")
    return config.stash[RUN]
