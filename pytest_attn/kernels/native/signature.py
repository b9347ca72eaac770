"""The signature of a C function, described in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_attn.kernels.native.arguments import Argument, Flag, Keyword, Pointer, Scale
from pytest_attn.problem.variants.registry import variants
from pytest_attn.text import closest


@dataclass(frozen=True, slots=True)
class Signature:
    """A function that is exported as C, and what each of its arguments is given of a problem, in order.

    `function`: its name, or the name by data type of the inputs, where each has a function of its own. `status`: it
    returns an int that is not 0 where it failed; else it returns nothing. `alignment`: bytes that it needs every
    pointer to be a multiple of, a power of two; 0 is what a C compiler may take for granted, that of an element.
    """

    function: str | Mapping[str, str]
    arguments: tuple[Argument, ...]
    status: bool = False
    alignment: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", tuple(self.arguments))
        for argument in self.arguments:
            if not callable(getattr(argument, "of", None)):
                raise ValueError(
                    f"Signature: {argument!r} is no argument; allowed: Pointer, Size, Stride, Scale, Flag, Keyword, "
                    "Workspace, Stream, Threads, Constant"
                )
        if self.alignment < 0 or self.alignment & (self.alignment - 1):
            raise ValueError(f"Signature: alignment is {self.alignment!r}; allowed: 0 or a power of two")

    def symbol(self, dtype: str) -> str:
        """The name of the function for inputs of a data type. Raises ValueError where there is none."""
        if isinstance(self.function, str):
            return self.function
        if dtype not in self.function:
            raise ValueError(f"Signature: no function for {dtype!r}; allowed: {closest(dtype, self.function)}")
        return self.function[dtype]

    @property
    def takes_scale(self) -> bool:
        """Whether the function is passed the softmax scale."""
        return any(isinstance(each, Scale) for each in self.arguments)

    def carries(self, capability: str) -> bool:
        """Whether some argument tells the function of what a capability claims."""
        pointers = {each.name for each in self.arguments if isinstance(each, Pointer)}
        flags = {each.name for each in self.arguments if isinstance(each, Flag)}
        if capability == "lse":
            return "lse" in pointers
        if capability in ("causal", "causal_top_left"):
            return capability in flags
        named = pointers | {each.name for each in self.arguments if isinstance(each, Keyword)}
        return bool(named & {capability, *variants()[capability].absent})
