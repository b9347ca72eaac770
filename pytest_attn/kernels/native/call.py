"""A C function with all that it is passed."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

NumberType = Literal["bool", "int32", "int64", "float", "double", "pointer"]

C_TYPES: dict[str, Any] = {
    "bool": ctypes.c_bool,
    "int32": ctypes.c_int32,
    "int64": ctypes.c_int64,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "pointer": ctypes.c_void_p,
}
"""What ctypes calls them; all but the pointer are numbers."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number, or a pointer that is no memory of a tensor."""

    type: NumberType
    value: float

    def __post_init__(self) -> None:
        if self.type not in C_TYPES:
            raise ValueError(f"a number of C is {self.type!r}; allowed: {', '.join(C_TYPES)}")
        if self.type not in ("float", "double") and self.value != int(self.value):
            raise ValueError(f"a number of C is {self.value!r}; allowed as {self.type}: whole numbers")
        if self.type == "int32" and not -(2**31) <= self.value < 2**31:
            raise ValueError(f"a number of C is {self.value!r}; allowed as int32: -2^31 to 2^31 - 1")

    @property
    def of_python(self) -> float:
        """The value as the class of ctypes takes it."""
        return self.value if self.type in ("float", "double") else int(self.value)


@dataclass(frozen=True, eq=False, slots=True)
class Memory:
    """The memory of a tensor, or none, by name. `converted`: the tensor that takes what was written there."""

    name: str
    tensor: Tensor | None
    read_only: bool
    converted: Tensor | None = None

    @property
    def address(self) -> int | None:
        """Of the first element; None without a tensor or where that has no elements."""
        return self.tensor.data_ptr() if self.tensor is not None and self.tensor.numel() else None

    @property
    def extent(self) -> int:
        """Bytes from the first element to the end of the last, gaps between rows included."""
        if self.tensor is None or not self.tensor.numel():
            return 0
        sizes = zip(self.tensor.shape, self.tensor.stride(), strict=True)
        return (1 + sum((size - 1) * stride for size, stride in sizes)) * self.tensor.element_size()


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """A function of a library and its arguments; calling it runs the function.

    `alignment`: bytes that every pointer is a multiple of, 0 for those of an element. `status`: whether the function
    returns a number that is not 0 where it failed.
    """

    library: Path
    symbol: str
    arguments: tuple[Number | Memory, ...]
    status: bool = False
    alignment: int = 0

    def __call__(self) -> None:
        """Run it. Raises RuntimeError where it returns a status that is not 0."""
        values = [
            each.address if isinstance(each, Memory) else C_TYPES[each.type](each.of_python) for each in self.arguments
        ]
        written = [(each.tensor, each.converted) for each in self.arguments if isinstance(each, Memory)]
        pairs = [(own, tensor) for own, tensor in written if own is not None and tensor is not None]
        for own, tensor in pairs:
            own.copy_(tensor)  # so that what the function leaves unwritten is no result of an earlier call
        status = self._function(*values)
        if self.status and status:
            raise RuntimeError(f"{self.symbol} returned the status {status}")
        for own, tensor in pairs:
            tensor.copy_(own)

    @property
    def _function(self) -> Any:
        types = tuple("pointer" if isinstance(each, Memory) else each.type for each in self.arguments)
        return _function(self.library, self.symbol, types, self.status)


@cache
def _function(library: Path, symbol: str, types: tuple[str, ...], status: bool) -> Any:
    try:
        loaded = ctypes.CDLL(str(library))
    except OSError as error:
        raise RuntimeError(f"the library does not load: {error}") from None
    try:
        # Indexing gives an object of its own, whose types no other signature of the same symbol changes.
        function = loaded[symbol]
    except AttributeError:
        raise RuntimeError(f'{library.name} has no function {symbol!r}; in C++ it is declared extern "C"') from None
    function.argtypes = [C_TYPES[name] for name in types]
    function.restype = ctypes.c_int if status else None
    return function
