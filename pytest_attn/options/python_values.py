"""From the Python value of an option to the texts that say the same; each raises ValueError with what is allowed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from pytest_attn.options.defaults import SHRINK_SECONDS
from pytest_attn.problem.case import Case


def spell_text(value: Any) -> list[str]:
    """A text."""
    if not isinstance(value, str):
        raise ValueError("a text")
    return [value]


def spell_texts(value: Any) -> list[str]:
    """A text, or several."""
    texts = _several(value)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError("a text, or several")
    return texts


def spell_path(value: Any) -> list[str]:
    """A path."""
    if not isinstance(value, str | os.PathLike):
        raise ValueError("a path")
    return [os.fspath(value)]


def spell_devices(value: Any) -> list[str]:
    """A device of torch, its name, or several."""
    return [",".join(str(device) for device in _several(value))]


def spell_axes(value: Any) -> list[str]:
    """Values by axis, or texts."""
    if isinstance(value, Mapping):
        return [
            f"{axis}=[{','.join(_axis_value(axis, v) for v in _several(values))}]" for axis, values in value.items()
        ]
    if isinstance(value, str) or all(isinstance(text, str) for text in _several(value)):
        return _several(value)
    raise ValueError("values by axis, as {'dtype': ['float32']}, or texts as 'dtype=[float32]'")


def spell_cases(value: Any) -> list[str]:
    """A case, an id, or several of both."""
    cases = _several(value)
    if not cases or not all(isinstance(case, Case | str) for case in cases):
        raise ValueError("a Case, the id of one, or several")
    return [case.id if isinstance(case, Case) else case for case in cases]


def spell_seed(value: Any) -> list[str]:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, Integral | str):
        raise ValueError("a whole number")
    return [str(value)]


def spell_budget(value: Any) -> list[str]:
    """GFLOP; None: no limit."""
    if value is None:
        return ["none"]
    return [value if isinstance(value, str) else _above_zero(value, "GFLOP per case, a number above 0, or None")]


def spell_cache(value: Any) -> list[str]:
    """A folder, or whether there is one."""
    if isinstance(value, bool):
        return ["on" if value else "off"]
    if isinstance(value, os.PathLike):
        # A folder may be called on or off.
        return [str(Path(value).absolute())]
    if not isinstance(value, str):
        raise ValueError("a path, True, False")
    return [value]


def spell_requirements(value: Any) -> list[str]:
    """Words and numbers of cells."""
    items = _several(value)
    if not all(isinstance(item, str) or _is_count(item) for item in items):
        raise ValueError("here, claimed, a number of cells, or several of them")
    return [str(item) for item in items]


def spell_shrink(value: Any) -> list[str]:
    """Seconds, or whether failed cells are shrunk."""
    if value is None:
        return []
    if isinstance(value, bool) or value == 0:
        return [str(SHRINK_SECONDS)] if value else ["0"]
    return [value if isinstance(value, str) else _above_zero(value, "seconds, 0 for not at all, or True, False")]


def spell_yes(value: Any) -> list[str]:
    """Yes or no."""
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if value not in ("yes", "no"):
        raise ValueError("True, False")
    return [value]


def spell_slowdown(value: Any) -> list[str]:
    """A fraction."""
    if isinstance(value, str):
        return [value]
    if not _is_number(value) or not 0.001 <= value <= 1:
        raise ValueError("0.001 to 1, or a text as '2.5%'")
    return ["100%" if value == 1 else f"{float(value):.17f}"]


def _several(value: Any) -> list[Any]:
    """The values of a collection; of a single value, that one."""
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]


def _axis_value(axis: str, value: Any) -> str:
    """A value as the ids and the axes of sweeps have it."""
    if value is None:
        return "default" if axis == "scale" else "none"
    if isinstance(value, tuple | list):
        return "x".join(str(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value).removeprefix("torch.")


def _above_zero(value: Any, allowed: str) -> str:
    if not _is_number(value) or not value > 0:
        raise ValueError(allowed)
    return repr(float(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0
