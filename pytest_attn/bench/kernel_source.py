"""Where the code of a kernel is written, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_attn.text import from_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSource:
    """Where the function or class that the author of a kernel wrote is defined, and the hash of what defines it."""

    spec: str
    """What names the kernel: `sdpa`, `package.module:name`, `path/to/file.py:name`."""

    file: str = ""
    """Absolute path of the file; empty where there is none, as in a notebook or for a function in C."""

    line: int = 0
    """The first line of the function or class in its source, from 1, that of its decorators where it has some; 0 where
    no source is known."""

    hash: str
    """Hash of the file and of the files beside it that it takes names from; `unknown` where no source is known."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @staticmethod
    def of_dict(plain: Mapping[str, Any]) -> KernelSource:
        """The source of `as_dict()`; fields of a newer version are left out. Raises ValueError for what is none."""
        return from_plain(KernelSource, plain)
