"""The arguments of a C function, each as what it is given of a problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from pytest_attn.kernels.native.call import Memory, Number, NumberType
from pytest_attn.text import closest

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_attn.problem.problem import Problem

SizeName = Literal["batch", "query_heads", "key_heads", "query_length", "key_length", "head_dim", "value_dim"]
FlagName = Literal["causal", "causal_top_left", "lse"]

WRITTEN = ("out", "lse")
"""The tensors that a kernel writes; it only reads the others."""


@dataclass(frozen=True, eq=False, slots=True)
class Given:
    """What a call is made of: the problem, its tensors by name, what its variants pass by keyword, and the threads and
    the stream to run on."""

    problem: Problem
    tensors: Mapping[str, Tensor | None]
    keywords: Mapping[str, Any]
    causal: str | None
    threads: int
    stream: int


class Argument(Protocol):
    """One argument of a C function."""

    def of(self, given: Given) -> Number | Memory:
        """What the function is passed."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """A pointer to the first element of a tensor: `query`, `key`, `value`, `out`, `lse`, or one that a variant passes
    by keyword, such as `seqused_k`. Null where the problem has none, as the lse where only out is asked for.

    `dtype`: the data type in which the function writes `out` or `lse`, by torch's name, where that is not the
    problem's; it is then given memory of that type, which is converted after each call.
    """

    name: str
    dtype: str = ""

    def __post_init__(self) -> None:
        if self.dtype and self.name not in WRITTEN:
            raise ValueError(
                f"Pointer: {self.name} has dtype {self.dtype!r}; allowed for {' and '.join(WRITTEN)} alone"
            )

    def of(self, given: Given) -> Memory:
        """The memory of the tensor."""
        tensors = {**given.keywords, **given.tensors}
        if self.name not in tensors:
            raise ValueError(f"Pointer: no tensor {self.name!r}; allowed: {closest(self.name, tensors)}")
        tensor = tensors[self.name]
        if tensor is not None and self.dtype and _dtype(self.dtype) != tensor.dtype:
            own = tensor.new_empty(tensor.shape, dtype=_dtype(self.dtype))
            return Memory(self.name, own, read_only=False, converted=tensor)
        return Memory(self.name, tensor, read_only=self.name not in WRITTEN)


@dataclass(frozen=True, slots=True)
class Size:
    """A size of the problem, a whole number."""

    name: SizeName
    type: NumberType = "int64"

    def __post_init__(self) -> None:
        _refuse("Size", self.name, get_args(SizeName))

    def of(self, given: Given) -> Number:
        """The size."""
        return Number(self.type, getattr(given.problem, self.name))


@dataclass(frozen=True, slots=True)
class Stride:
    """A stride of a tensor `[B, H, S, D]` in elements, of the dimension of that number, 0 to 3."""

    tensor: str
    dimension: int
    type: NumberType = "int64"

    def of(self, given: Given) -> Number:
        """The stride; 0 where the problem has no such tensor."""
        tensor = given.tensors.get(self.tensor)
        return Number(self.type, 0 if tensor is None else tensor.stride(self.dimension))


@dataclass(frozen=True, slots=True)
class Scale:
    """The softmax scale."""

    type: NumberType = "float"

    def of(self, given: Given) -> Number:
        """The scale of the problem."""
        return Number(self.type, given.problem.scale)


@dataclass(frozen=True, slots=True)
class Flag:
    """Whether the problem is `causal` (bottom-right), `causal_top_left`, or asks for the `lse`."""

    name: FlagName
    type: NumberType = "bool"

    def __post_init__(self) -> None:
        _refuse("Flag", self.name, get_args(FlagName))

    def of(self, given: Given) -> Number:
        """True or False, as 1 or 0 where the type is a whole number."""
        causal = {"causal": "bottom-right", "causal_top_left": "top-left"}
        on = given.problem.wants_lse if self.name == "lse" else given.causal == causal[self.name]
        return Number(self.type, on)


@dataclass(frozen=True, slots=True)
class Keyword:
    """A number that a variant passes by keyword, as `softcap`, or one of several, as `window_size` at 0 and 1."""

    name: str
    at: int | None = None
    type: NumberType = "float"

    def of(self, given: Given) -> Number:
        """The number. Raises ValueError where no variant has such a keyword."""
        if self.name not in given.keywords:
            raise ValueError(f"Keyword: no keyword {self.name!r}; allowed: {closest(self.name, given.keywords)}")
        value = given.keywords[self.name]
        return Number(self.type, value if self.at is None else value[self.at])


@dataclass(frozen=True, slots=True)
class Workspace:
    """Memory of undefined contents, on the device of the inputs, made when a kernel is prepared: so many bytes, or a
    function of the `Problem` that says how many. Each is memory of its own."""

    size: int | Callable[[Problem], int]
    name: str = "workspace"

    def of(self, given: Given) -> Memory:
        """The memory."""
        size = self.size(given.problem) if callable(self.size) else self.size
        query = given.tensors["query"]
        assert query is not None
        # Floats: torch fills these with NaN where it is asked to show what is not written.
        room = query.new_empty(-(-size // 4), dtype=_dtype("float32"))
        return Memory(self.name, room, read_only=False)


@dataclass(frozen=True, slots=True)
class Stream:
    """The current stream of the device, as the pointer that its runtime takes; null on a CPU."""

    def of(self, given: Given) -> Number:
        """The pointer."""
        return Number("pointer", given.stream)


@dataclass(frozen=True, slots=True)
class Threads:
    """The threads that torch would use: `torch.get_num_threads()`."""

    type: NumberType = "int32"

    def of(self, given: Given) -> Number:
        """The number."""
        return Number(self.type, given.threads)


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that is the same for every problem."""

    value: float
    type: NumberType = "int64"

    def of(self, given: Given) -> Number:
        """The number."""
        return Number(self.type, self.value)


def _refuse(what: str, name: str, allowed: tuple[str, ...]) -> None:
    if name not in allowed:
        raise ValueError(f"{what}: {name!r} is unknown; allowed: {closest(str(name), allowed)}")


def _dtype(name: str) -> Any:
    import torch

    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"Pointer: dtype is {name!r}; allowed: the name of a torch.dtype, such as float32")
    return found
