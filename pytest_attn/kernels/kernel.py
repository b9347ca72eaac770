"""A kernel: a function or class of its author, with what it claims."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from pytest_attn.contained import Contained, said
from pytest_attn.kernels.adapters import FunctionKernel, Prepared, PreparedRun, adapt
from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.kernels.gradients import Backward
from pytest_attn.kernels.numerics import EmptyRows, Numerics
from pytest_attn.kernels.output import Output, new_output
from pytest_attn.kernels.refusal import DeclarationError
from pytest_attn.problem.dtypes import data_types
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.text import closest

__all__ = ["Kernel", "Output", "PreparedRun", "as_kernel", "kernel"]


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel under test: its name, its implementation and its claims. Calling it calls the author's function."""

    name: str
    implementation: Prepared
    capabilities: Capabilities = field(default_factory=Capabilities)
    numerics: Numerics | Mapping[str, Numerics] | Callable[[Problem], Numerics] = field(default_factory=Numerics)
    """One for all input dtypes, those of other packages too; or by name of the input dtype, the default `Numerics` for
    a dtype that is not named; or by problem."""

    empty_rows: EmptyRows = field(default_factory=EmptyRows)

    def numerics_for(self, problem: Problem) -> Numerics:
        """The arithmetic that the kernel declares for a problem. Raises DeclarationError where its function declares
        none, or one that gradients have no budget for."""
        if isinstance(self.numerics, Numerics):
            declared = self.numerics
        elif callable(self.numerics):
            try:
                with Contained():
                    declared = self.numerics(problem)
            except Exception as error:
                raise DeclarationError(
                    f"kernel {self.name!r}: numerics(problem) raised {said(error)}; allowed: a Numerics"
                ) from error
            if not isinstance(declared, Numerics):
                raise DeclarationError(f"kernel {self.name!r}: numerics(problem) is {declared!r}; allowed: a Numerics")
        else:
            declared = self.numerics.get(problem.data_type.name, Numerics())
        if problem.wants_grad and declared.products == "tf32-truncated":
            raise DeclarationError(
                f"kernel {self.name!r}: products is 'tf32-truncated', for which gradients have no budget; allowed "
                "where gradients are asked for: input, tf32"
            )
        return declared

    def prepare(self, problem: Problem, inputs: Inputs, output: Output | None = None) -> PreparedRun:
        """Get ready for a problem that the capabilities claim; an out variant is given the output to fill."""
        if self.capabilities.out_variant:
            run = self.implementation.prepare(problem, inputs, output or new_output(problem, inputs))  # type: ignore[call-arg]
        else:
            run = self.implementation.prepare(problem, inputs)
        if not callable(run):
            raise TypeError(f"prepare returned {type(run).__name__}; expected a function")
        return run

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


def kernel(
    *implementations: Any,
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
    if implementations:
        raise ValueError("kernel: is given something to declare before its keywords; allowed: @pytest_attn.kernel(...)")
    if not isinstance(name, str | None):
        raise ValueError(f"kernel: name is {name!r}; allowed: a text or None")
    if not isinstance(backward, bool) and not callable(backward):
        raise ValueError(f"kernel: backward is {backward!r}; allowed: True, False or a function")
    if backward and claims.get("out_variant"):
        raise ValueError("kernel: backward is claimed beside out_variant; allowed: one of the two")
    capabilities = Capabilities.of(**claims, backward=bool(backward))
    declared = _declared_numerics(numerics)
    if not isinstance(empty_rows, EmptyRows | None):
        raise ValueError(f"kernel: empty_rows is {empty_rows!r}; allowed: an EmptyRows or None")

    def declare(implementation: Any) -> Kernel:
        if isinstance(implementation, Kernel):
            raise ValueError(f"kernel: {implementation.name} is declared already; allowed: one declaration")
        try:
            prepared = adapt(implementation, capabilities, None if isinstance(backward, bool) else backward)
        except ValueError as error:
            raise ValueError(f"kernel: {error}") from None
        label = name or str(getattr(implementation, "__name__", type(implementation).__name__))
        return Kernel(label, prepared, capabilities, declared, empty_rows or EmptyRows())

    return declare


def _declared_numerics(given: Any) -> Numerics | Mapping[str, Numerics] | Callable[[Problem], Numerics]:
    if inspect.isroutine(given):
        return cast(Callable[[Problem], Numerics], given)
    if isinstance(given, Numerics):
        return given
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

    Raises ValueError where `target` is neither a kernel, nor a function, nor has `prepare`.
    """
    if isinstance(target, Kernel):
        return Kernel(name, target.implementation, target.capabilities, target.numerics, target.empty_rows)
    if target is kernel or (inspect.isfunction(target) and target.__code__ in kernel.__code__.co_consts):
        raise ValueError("it is a decorator that was given no function; allowed: what @pytest_attn.kernel(...) returns")
    capabilities = Capabilities(any_scale=_takes_scale(target), value_dim=False)
    return Kernel(name, adapt(target, capabilities), capabilities)


def _takes_scale(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin says nothing of its parameters
        return True
    return any(p.name == "scale" or p.kind is p.VAR_KEYWORD for p in parameters)
