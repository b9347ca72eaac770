"""A function of torch tensors as a kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_attn.kernels.adapters.prepared import PreparedRun
from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.kernels.gradients import Backward, declared_backward, through_autograd
from pytest_attn.kernels.output import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Causal, parts
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants.registry import variants


@dataclass(frozen=True, eq=False)
class FunctionKernel:
    """A function `(query, key, value, *, keywords)` as a kernel; it is passed the keywords of its capabilities."""

    function: Callable[..., Any]
    capabilities: Capabilities
    backward: Backward | None = None

    def prepare(self, problem: Problem, inputs: Inputs, output: Output | None = None) -> PreparedRun:
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
