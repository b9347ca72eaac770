"""One option: how it is written and explained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Option:
    """One option, of a command line, an ini file and the keywords of a Python function."""

    name: str
    metavar: str
    help: str
    default: str
    repeats: bool = False
    alone: str = ""
    """What the flag without a value stands for; empty where it needs one."""

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
