"""The precisions that a declaration of arithmetic can name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_attn.problem.dtypes import data_types

if TYPE_CHECKING:
    import torch

Precision = str
"""A precision inside a kernel: "input", that of the inputs; the name of a registered data type; or that of a floating
dtype of torch, such as "float8_e4m3fn", which needs no registration."""

USUAL = ("input", "float64", "float32", "bfloat16", "float16")


def dtype_of(name: str) -> torch.dtype:
    """The dtype of a named precision, "input" excepted. Raises ValueError where there is none of that name."""
    # Declarations are plain data; only what a precision comes to is torch's.
    import torch

    known = data_types().get(name)
    own = known.torch if known else name
    found = getattr(torch, own, None)
    # Of several names that torch has for a dtype, as float16 and half, one is its own.
    if isinstance(found, torch.dtype) and found.is_floating_point and str(found) == f"torch.{own}":
        return found
    raise ValueError(f"no floating dtype {name!r}")


def refuse_unknown_precision(declaration: str, field: str, value: Any, *, optional: bool) -> None:
    """Raises ValueError, one sentence that names the field, where a value is no precision; None is one where the field
    is optional."""
    if (value is None and optional) or (isinstance(value, str) and (value in USUAL or _exists(value))):
        return
    words = ", ".join([*(("None",) if optional else ()), *USUAL])
    raise ValueError(f"{declaration}: {field} is {value!r}; allowed: {words}, or another floating dtype by its name")


def _exists(name: str) -> bool:
    try:
        dtype_of(name)
    except ValueError:
        return False
    return True
