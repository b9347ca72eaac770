"""The data types that there are, by name, and what kernels and oracles do with them; those of other packages too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from pytest_attn.problem.entry_points import offered
from pytest_attn.problem.registrar import Registrar

ENTRY_POINT_GROUP = "pytest_attn.dtypes"
"""Entry points of this group name data types."""

Wide = Literal["float32", "float64"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataType:
    """A data type of query, key, value and output. Raises ValueError for a name that no id could hold."""

    name: str
    """What ids and `Capabilities.dtypes` call it: lower-case letters and digits."""

    torch: str
    """The name of the `torch.dtype`, such as "float8_e4m3fn"."""

    item_bytes: int
    """Size of one element in memory, in bytes; what traffic is counted in."""

    oracle: Wide = "float32"
    """Precision of references: one above, where there is one."""

    accumulator: Wide = "float32"
    """Precision of the log-sum-exp, and of sums and logits in kernels that declare nothing less."""

    exp_error: float = 2.0**-16
    """Largest relative error of the exponential of kernels that declare none: hardware exp2, short polynomials."""

    tanh_error: float = 2.0**-11
    """Largest relative error of the tangent of kernels that declare none: that of hardware."""

    chain: int | None = 512
    """Most terms that kernels which declare nothing add in a row; None: all terms of a sum."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch("[a-z][a-z0-9]*", self.name):
            raise ValueError(f"DataType: name is {self.name!r}; allowed: lower-case letters and digits, a letter first")
        for field in ("oracle", "accumulator"):
            if getattr(self, field) not in ("float32", "float64"):
                raise ValueError(f"DataType: {field} is {getattr(self, field)!r}; allowed: float32, float64")
        if not isinstance(self.torch, str) or not self.torch:
            raise ValueError(f"DataType: torch is {self.torch!r}; allowed: the name of a torch.dtype")
        for field in ("item_bytes", "chain"):
            size = getattr(self, field)
            whole = isinstance(size, int) and not isinstance(size, bool) and size >= 1
            if not whole and not (field == "chain" and size is None):
                none = "None, or " if field == "chain" else ""
                raise ValueError(f"DataType: {field} is {size!r}; allowed: {none}a whole number, 1 or more")
        for field in ("exp_error", "tanh_error"):
            error = getattr(self, field)
            if not isinstance(error, int | float) or isinstance(error, bool) or not 0 <= error < 1:
                raise ValueError(f"DataType: {field} is {error!r}; allowed: a number, 0 to 1")


_TYPES = {
    dtype.name: dtype
    for dtype in (
        DataType(name="bfloat16", torch="bfloat16", item_bytes=2),
        DataType(name="float16", torch="float16", item_bytes=2),
        DataType(
            name="float32",
            torch="float32",
            item_bytes=4,
            oracle="float64",
            exp_error=2.0**-22,
            tanh_error=2.0**-22,
            chain=None,
        ),
        DataType(
            name="float64",
            torch="float64",
            item_bytes=8,
            oracle="float64",
            accumulator="float64",
            exp_error=2.0**-50,
            tanh_error=2.0**-50,
            chain=None,
        ),
    )
}

BUILT_IN_DTYPES = tuple(_TYPES)

_REGISTRARS: dict[str, Registrar | None] = {}


def register_dtype(dtype: DataType) -> DataType:
    """Make a data type known by its name. Raises ValueError for what is no data type, and where the name is
    taken by another one."""
    if not isinstance(dtype, DataType):
        raise ValueError(f"register_dtype: {dtype!r:.60}; allowed: a pytest_attn.DataType")
    if _TYPES.setdefault(dtype.name, dtype) != dtype:
        raise ValueError(f"data type {dtype.name!r}: the name is taken by another one")
    _REGISTRARS[dtype.name] = Registrar.calling(0)
    return dtype


@cache
def _load_entry_points() -> None:
    before = set(_REGISTRARS)
    for loaded in offered(ENTRY_POINT_GROUP, "data type"):
        if isinstance(loaded, DataType):
            register_dtype(loaded)
    # Whatever loading them registered, every process has.
    _REGISTRARS.update(dict.fromkeys(set(_REGISTRARS) - before))


def dtype_registrar(name: str) -> Registrar | None:
    """The module that registered a data type; None where every process knows it."""
    return _REGISTRARS.get(name)


def data_types() -> dict[str, DataType]:
    """All data types by name: the built-in ones, then others."""
    _load_entry_points()
    return _TYPES
