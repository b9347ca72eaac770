"""What the tests of the command `baseline` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from machine import Machine

from pytest_attn.__main__ import main


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """A fresh folder, and fresh processes that are not started."""
    monkeypatch.chdir(tmp_path)
    return Machine(monkeypatch)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The sentence with which the command refuses."""

    def run(*arguments: str) -> str:
        assert main(["baseline", *arguments]) == 4
        told = capsys.readouterr().err
        assert told.startswith("baseline: ")
        return told.removeprefix("baseline: ").strip()

    return run
