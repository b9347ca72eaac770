"""One option: how it is written, read and explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_attn.options.python_values import spell_texts


@dataclass(frozen=True, slots=True)
class Option:
    """One option, of a command line, an ini file and the keywords of a Python function."""

    name: str
    metavar: str
    help: str
    read: Callable[[Sequence[str]], Any]
    """From the texts given (several where the option repeats) to the field's value; raises ValueError."""

    default: str
    repeats: bool = False
    alone: str = ""
    """What the flag without a value stands for; empty where it needs one."""

    spell: Callable[[Any], Sequence[str]] = spell_texts
    """From a Python value to the texts that say the same, none where that is the default; raises ValueError, whose text
    is what is allowed."""

    @property
    def usage(self) -> str:
        """The flag with its value."""
        return f"{self.flag}[={self.metavar}]" if self.alone else f"{self.flag}={self.metavar}"

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return f"--attn-{self.name}"

    @property
    def ini(self) -> str:
        """The ini twin."""
        return f"attn_{self.name}"
