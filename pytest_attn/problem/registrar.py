"""Who made a variant or a data type known: a new process has to import that to know it, too."""

from __future__ import annotations

import sys
from typing import NamedTuple


class Registrar(NamedTuple):
    """A module that registered something."""

    module: str
    """Its name."""

    file: str
    """Its file; empty where it has none, as in a notebook."""

    @staticmethod
    def calling(depth: int) -> Registrar | None:
        """The module that called the function which asks, `depth` frames further out; None where that is our own, as
        for what is built in and for entry points, which every process knows."""
        names = sys._getframe(depth + 2).f_globals
        module = str(names.get("__name__", ""))
        if module.partition(".")[0] == "pytest_attn":
            return None
        return Registrar(module, str(names.get("__file__") or ""))
