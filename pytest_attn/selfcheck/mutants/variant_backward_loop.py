"""A correct backward pass of windows, padded and packed batches, in named steps; a mutant overrides one of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.kernels.gradients import Gradients
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Lengths
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import WindowSize
from pytest_attn.selfcheck.mutants.backward_loop import BackwardLoop
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.variant_loop import Side, VariantLoop, tokens


class VariantBackwardLoop(BackwardLoop, VariantLoop):
    """The backward loop behind the forward of the variant loop, one sequence after the other.

    Steps, in order: those of the forward pass, `backward_queries`, `backward_keys`, `forward_of`;
    then, with the problem of one
    sequence, those of the backward loop and beside them `backward_window`.
    """

    capabilities = replace(VariantLoop.capabilities, backward=True, variants=("window_size", "seqused_k", "cu_seqlens"))

    def gradients(self, problem: Problem, inputs: Inputs, forward: Output) -> Gradients:
        """Gradients in the form of the inputs: 0 for padding."""
        found = Gradients(*map(torch.zeros_like, (inputs.query, inputs.key, inputs.value)))
        packed = "cu_seqlens_k" in inputs.extras
        for batch in range(problem.batch):
            queries = self.backward_queries(problem, inputs, batch)
            keys = self.backward_keys(problem, inputs, batch)
            own = self.own_problem(problem, Lengths(len(queries), len(keys)))
            given = self.own_inputs(problem, inputs, batch, queries, keys)
            mine = super().gradients(own, given, self.forward_of(problem, forward, batch, queries))
            for whole, part, rows in zip(found, mine, (queries, keys, keys), strict=True):
                place = tokens(whole, rows)[0] if packed else whole[batch, :, : len(rows)]
                place.copy_(part[0])
        return found

    def own_inputs(self, problem: Problem, inputs: Inputs, batch: int, queries: range, keys: range) -> Inputs:
        """See `VariantLoop.own_inputs`; with the gradient of the sequence's output."""
        given, grad_out = super().own_inputs(problem, inputs, batch, queries, keys), inputs.grad_out
        if grad_out is None:
            return given
        packed = "cu_seqlens_q" in inputs.extras
        return replace(given, grad_out=tokens(grad_out, queries) if packed else grad_out[batch : batch + 1])

    def backward_queries(self, problem: Problem, inputs: Inputs, batch: int) -> range:
        """See `queries`."""
        return self.queries(problem, inputs, batch)

    def backward_keys(self, problem: Problem, inputs: Inputs, batch: int) -> range:
        """See `keys`."""
        return self.keys(problem, inputs, batch)

    def forward_of(self, problem: Problem, forward: Output, batch: int, queries: range) -> Output:
        """Output and LSE of a sequence, as the forward pass left them."""
        return self.own_output(problem, forward, batch, queries)

    def backward_mask(self, problem: Problem, scores: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        """Logits with what may not be attended to hidden, what lies outside the window too."""
        masked, size = super().backward_mask(problem, scores, lane, rows, keys), self.variant(problem, WindowSize)
        if size is None:
            return masked
        query, key = self.positions(rows).unsqueeze(1), self.positions(range(keys.start, keys.start + self.key_tile))
        outside = self.outside(problem, query, key, self.backward_window(problem, size))
        return masked.masked_fill(outside, self.backward_hidden_logit())

    def backward_window(self, problem: Problem, size: WindowSize) -> tuple[Side, Side]:
        """See `window`."""
        return self.window(problem, size)
