"""A kernel: a function or class of its author, with what it claims."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

from torch import Tensor

from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.kernels.gradients import Backward, Gradients, declared_backward, through_autograd
from pytest_attn.kernels.numerics import EmptyRows, Numerics
from pytest_attn.problem.dtypes import data_types
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Causal, parts
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants.registry import variants
from pytest_attn.text import closest


@dataclass(frozen=True, eq=False)
class Output:
    """What a kernel returned: `out` `[B, Hq, Sq, Dv]` and, where asked for, `lse` `[B, Hq, Sq]` of
    the problem's `sum_dtype`, and `grads`."""

    out: Tensor
    lse: Tensor | None = None
    grads: Gradients | None = None

    def clone(self) -> Output:
        """A copy in memory of its own."""
        lse = None if self.lse is None else self.lse.clone()
        return Output(self.out.clone(), lse, self.grads and Gradients(*(tensor.clone() for tensor in self.grads)))


Run = Callable[[], Any]
"""The timed part of a kernel: returns an `Output`, out alone, or (out, lse); where gradients are asked for an `Output`
with `grads`."""


class Prepared(Protocol):
    """A kernel with untimed set-up: layout conversion, compilation, workspace."""

    def prepare(self, problem: Problem, inputs: Inputs) -> Run:
        """Get ready for a problem; the returned function computes it, as often as it is called, and may return the same
        buffers every time. A kernel that claims `out_variant` is given the `Output` to fill as a third argument."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel under test: its name, its implementation and its claims. Calling it calls the author's function."""

    name: str
    implementation: Prepared
    capabilities: Capabilities = field(default_factory=Capabilities)
    numerics: Mapping[str, Numerics] | Callable[[Problem], Numerics] = field(default_factory=dict)
    """By name of the input dtype, the default `Numerics` for a dtype that is not named; or by problem."""

    empty_rows: EmptyRows = field(default_factory=EmptyRows)

    def numerics_for(self, problem: Problem) -> Numerics:
        """The arithmetic that the kernel declares for a problem. Raises ValueError where its function declares none, or
        one that gradients have no budget for."""
        if callable(self.numerics):
            declared = self.numerics(problem)
            if not isinstance(declared, Numerics):
                raise ValueError(f"kernel {self.name!r}: numerics(problem) is {declared!r}; allowed: a Numerics")
        else:
            declared = self.numerics.get(problem.data_type.name, Numerics())
        if problem.wants_grad and declared.products == "tf32-truncated":
            raise ValueError(
                f"kernel {self.name!r}: products is 'tf32-truncated', for which gradients have no budget; allowed "
                "where gradients are asked for: input, tf32"
            )
        return declared

    def prepare(self, problem: Problem, inputs: Inputs, output: Output | None = None) -> Run:
        """Get ready for a problem that the capabilities claim; an out variant is given the output to fill."""
        if self.capabilities.out_variant:
            return self.implementation.prepare(problem, inputs, output or _new_output(problem, inputs))  # type: ignore[call-arg]
        return self.implementation.prepare(problem, inputs)

    def claiming(self, capabilities: Capabilities) -> Kernel:
        """The same kernel under other claims."""
        implementation = self.implementation
        if isinstance(implementation, FunctionKernel):
            implementation = replace(implementation, capabilities=capabilities)
        return replace(self, implementation=implementation, capabilities=capabilities)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Call the author's function as it is."""
        if isinstance(self.implementation, FunctionKernel):
            return self.implementation.function(*args, **keywords)
        raise TypeError(f"kernel {self.name!r} is a class with prepare(problem, inputs); call that")


@dataclass(frozen=True, eq=False)
class FunctionKernel:
    """A function `(query, key, value, *, keywords)` as a kernel; it is passed the keywords of its capabilities."""

    function: Callable[..., Any]
    capabilities: Capabilities
    backward: Backward | None = None

    def prepare(self, problem: Problem, inputs: Inputs, output: Output | None = None) -> Run:
        """Bind inputs and keywords; there is nothing else to prepare."""
        keywords = self._keywords(problem, inputs, output)
        if problem.wants_grad:
            return lambda: self._with_gradients(inputs, keywords)
        if output is None:
            return lambda: self.function(inputs.query, inputs.key, inputs.value, **keywords)

        def fill() -> Output:
            self.function(inputs.query, inputs.key, inputs.value, **keywords)
            return output

        return fill

    def _with_gradients(self, inputs: Inputs, keywords: dict[str, Any]) -> Output:
        if self.backward is None:
            return Output(*through_autograd(self.function, inputs, keywords))
        if self.capabilities.lse:
            keywords = {**keywords, "return_lse": True}
        returned = self.function(inputs.query, inputs.key, inputs.value, **keywords)
        out, lse = returned if self.capabilities.lse else (returned, None)
        own = {name: value for name, value in keywords.items() if name != "return_lse"}
        return Output(out, None, declared_backward(self.backward, inputs, out, lse, own))

    def _keywords(self, problem: Problem, inputs: Inputs, output: Output | None) -> dict[str, Any]:
        claims, masks, device = self.capabilities, parts(problem.mask), inputs.query.device
        block_mask = next((mask.block_mask.to(device) for mask in masks if isinstance(mask, BlockSparse)), None)
        causal = next((mask.align for mask in masks if isinstance(mask, Causal)), None)
        offered = {
            "scale": (claims.any_scale, problem.scale),
            "causal": (claims.causal, causal == "bottom-right"),
            "causal_top_left": (claims.causal_top_left, causal == "top-left"),
            "block_mask": (claims.block_sparse, block_mask),
            "return_lse": (claims.lse, problem.wants_lse),
            "out": (claims.out_variant, output and output.out),
            "lse": (claims.out_variant and claims.lse, output and output.lse),
        }
        given = {name: value for name, (claimed, value) in offered.items() if claimed}
        present = {variant.capability: variant for variant in problem.variants}
        for name in claims.variants:
            given |= present[name].keywords(problem, inputs.extras) if name in present else variants()[name].absent
        return given


def _new_output(problem: Problem, inputs: Inputs) -> Output:
    out_shape, lse_shape = problem.stored_shapes
    out = inputs.query.new_empty(out_shape, dtype=problem.out_dtype)
    return Output(out, out.new_empty(lse_shape, dtype=problem.sum_dtype) if problem.wants_lse else None)


def kernel(
    *,
    name: str | None = None,
    numerics: Numerics | Mapping[str, Numerics] | Callable[[Problem], Numerics] | None = None,
    empty_rows: EmptyRows | None = None,
    backward: bool | Backward = False,
    **claims: Any,
) -> Callable[[Any], Kernel]:
    """Declare a function, or a class with `prepare(problem, inputs) -> run`, as a kernel with the named capabilities.

    `numerics` is one for all input dtypes, a mapping from dtype names, or a function of the `Problem` for a kernel that
    has several paths. `backward` True: gradients come from autograd of the function; a function: it returns them, see
    `pytest_attn.kernels.gradients`. Raises ValueError naming an unknown capability or value.
    """
    if not isinstance(backward, bool) and not callable(backward):
        raise ValueError(f"kernel: backward is {backward!r}; allowed: True, False or a function")
    if backward and claims.get("out_variant"):
        raise ValueError("kernel: backward is claimed beside out_variant; allowed: one of the two")
    capabilities = Capabilities.of(**claims, backward=bool(backward))
    declared = _declared_numerics(numerics)
    if not isinstance(empty_rows, EmptyRows | None):
        raise ValueError(f"kernel: empty_rows is {empty_rows!r}; allowed: an EmptyRows or None")

    def declare(implementation: Any) -> Kernel:
        prepared = _prepared(implementation, capabilities, None if isinstance(backward, bool) else backward)
        label = name or str(getattr(implementation, "__name__", type(implementation).__name__))
        return Kernel(label, prepared, capabilities, declared, empty_rows or EmptyRows())

    return declare


def _declared_numerics(given: Any) -> Mapping[str, Numerics] | Callable[[Problem], Numerics]:
    if inspect.isroutine(given):
        return cast(Callable[[Problem], Numerics], given)
    if isinstance(given, Numerics):
        return dict.fromkeys(data_types(), given)
    if not isinstance(given, Mapping | None):
        raise ValueError(
            f"kernel: numerics is {given!r}; allowed: a Numerics, or a mapping from dtype names to Numerics, or a "
            "function of the problem"
        )
    by_dtype = dict(given or {})
    for dtype, numerics in by_dtype.items():
        if dtype not in data_types():
            raise ValueError(f"kernel: numerics has {dtype!r}; allowed: {closest(str(dtype), data_types())}")
        if not isinstance(numerics, Numerics):
            raise ValueError(f"kernel: numerics for {dtype} is {numerics!r}; allowed: a Numerics")
    return by_dtype


def as_kernel(target: Any, name: str) -> Kernel:
    """A kernel of anything that can be one. An undecorated function counts as dense, without LSE.

    Raises ValueError where `target` is neither a kernel, nor callable, nor has `prepare`.
    """
    if isinstance(target, Kernel):
        return Kernel(name, target.implementation, target.capabilities, target.numerics, target.empty_rows)
    if not callable(target) and not hasattr(target, "prepare"):
        raise ValueError(
            f"it is of type {type(target).__name__}; allowed: a function (query, key, value, ...), a class with "
            "prepare(problem, inputs), or what @pytest_attn.kernel returns"
        )
    capabilities = Capabilities(any_scale=_takes_scale(target), value_dim=False)
    return Kernel(name, _prepared(target, capabilities), capabilities)


def _prepared(implementation: Any, capabilities: Capabilities, backward: Backward | None = None) -> Prepared:
    if hasattr(implementation, "prepare"):
        if backward is not None:
            raise ValueError("kernel: backward is a function; allowed for a class with prepare: True or False")
        return cast(Prepared, implementation() if inspect.isclass(implementation) else implementation)
    return FunctionKernel(implementation, capabilities, backward)


def _takes_scale(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin says nothing of its parameters
        return True
    return any(p.name == "scale" or p.kind is p.VAR_KEYWORD for p in parameters)
