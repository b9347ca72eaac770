"""Keys dropped from, or added to, a result that is already computed: O(S k D) for k keys instead of a new run.

With p_ij = exp(s_ij - lse_i), a row without the keys J is (out_i - sum_J p_ij v_j) / (1 - sum_J p_ij) and its LSE is
lse_i + log(1 - sum_J p_ij).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from pytest_attn.devices.workers import share
from pytest_attn.oracles.slabs import Slab
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.power.clean import Unrounded, Without

LEAST_LEFT = 0.25
"""Share of its weight that a row must keep for the merge: below, cancellation would cost bits, and it is run anew."""


def drop(problem: Problem, inputs: Inputs, clean: Unrounded, keys: Tensor, slabs: Iterable[Slab]) -> Unrounded:
    """The result of a kernel that forgets `keys` (ascending indices) in the rows of `slabs`.

    A row that would be left without any key keeps those that it has.
    """
    out, lse = clean.out.clone(), clean.lse.clone()
    forgetful = Without(problem, keys)

    def work(shared: Iterator[Slab]) -> None:
        for slab in shared:
            where = (slab.batch, slab.head, slice(slab.rows.start, slab.rows.stop))
            weight, value = _lost(problem, inputs, clean, keys, slab)
            left = 1.0 - weight
            scarce = left < LEAST_LEFT
            if bool(scarce.any()):
                anew_out, anew_lse = forgetful.slab(problem, inputs, slab)
                anew = scarce & ~torch.isneginf(anew_lse)
                out[where][anew], lse[where][anew] = anew_out[anew], anew_lse[anew]
            # What is scarce is done, or would be emptied and stays.
            out[where] = torch.where(scarce.unsqueeze(1), out[where], (out[where] - value) / left.unsqueeze(1))
            lse[where] += torch.where(scarce, 0.0, left.log())

    share(slabs, work)
    return Unrounded(out, lse)


def leak(clean: Unrounded, pads: float, queries: Tensor | None = None) -> Unrounded:
    """The result of a kernel that attends to zero pad keys, of logit 0 and value 0, in every row, or in those
    of `queries`, bool that expands to `[B, H, Sq]`."""
    queries = torch.ones_like(clean.lse, dtype=torch.bool) if queries is None else queries
    lse = torch.logaddexp(clean.lse, torch.tensor(math.log(pads), dtype=clean.lse.dtype))
    left = torch.where(queries, (clean.lse - lse).exp(), 1.0)
    return Unrounded(clean.out * left.unsqueeze(3).to(clean.out.dtype), torch.where(queries, lse, clean.lse))


def _lost(problem: Problem, inputs: Inputs, clean: Unrounded, keys: Tensor, slab: Slab) -> tuple[Tensor, Tensor]:
    """What `keys` give to the rows of a slab: sum of probabilities `[rows]`, and of those times value `[rows, Dv]`."""
    batch, head, rows = slab
    where, source = (batch, head, slice(rows.start, rows.stop)), (batch, head // problem.group)
    dtype = clean.out.dtype
    query = inputs.query[where].to(dtype) * problem.scale
    # A row without keys has LSE -inf; 0 keeps exp(-inf - 0) = 0 instead of NaN.
    shift = torch.where(torch.isneginf(clean.lse[where]), 0.0, clean.lse[where]).to(dtype).unsqueeze(1)
    weight = torch.zeros(len(rows), dtype=torch.float64)
    value = torch.zeros(len(rows), problem.value_dim, dtype=dtype)
    for start, stop, full in problem.mask.spans(problem.lengths, batch, head, rows):
        inside = keys[(keys >= start) & (keys < stop)]
        scores = query @ inputs.key[source][inside].to(dtype).mT
        if not full:
            allowed = problem.mask.allowed(problem.lengths, batch, head, rows, range(start, stop))
            scores.masked_fill_(~allowed[:, inside - start], -math.inf)
        probabilities = scores.sub_(shift).exp_()
        weight += probabilities.sum(dim=1, dtype=torch.float64)
        value.addmm_(probabilities, inputs.value[source][inside].to(dtype))
    return weight, value
