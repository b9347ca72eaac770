"""How query, key and value are drawn. Inputs matter more than thresholds: each recipe makes one kind of bug visible.

A drawer returns float32 tensors, and float64 ones where all digits of float64 are needed; `Inputs.draw` rounds them to
the dtype of the problem.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pytest_attn.problem.problem import Problem
from pytest_attn.problem.vocabulary import Recipe

Drawn = tuple[Tensor, Tensor, Tensor]
Drawer = Callable[[Problem, torch.Generator], Drawn]

LARGE = 8.0
"""Factor on the queries of "large"."""

NEEDLE = 24.0
"""Scaled logit of the key that a query of "needle" matches."""

NEGATIVE = -120.0
"""Scaled logits of "negative": exp of it underflows, and a key that scores 0 by mistake takes the whole row."""

GROWTH = 30.0
"""How far the scaled logits of "growing" rise from the first key to the last."""

LARGE_VALUE = 2000.0
"""Mean of the values of "largevalue": 33 of them overflow float16, one does not."""

CODED_KEYS = 16
"""Neighbouring keys that share a column of "keycoded"."""


def normal(problem: Problem, generator: torch.Generator) -> Drawn:
    """Query, key and value of independent standard normal numbers."""
    dtype = problem.sum_dtype
    query, key, value = (torch.randn(shape, generator=generator, dtype=dtype) for shape in problem.input_shapes)
    return query, key, value


def zeros(problem: Problem, generator: torch.Generator) -> Drawn:
    """All zero: the LSE is the logarithm of the number of keys."""
    query, key, value = (torch.zeros(shape) for shape in problem.input_shapes)
    return query, key, value


def zero_query(problem: Problem, generator: torch.Generator) -> Drawn:
    """Every key has the same weight: the output is the mean of the kept values."""
    query, key, value = normal(problem, generator)
    return torch.zeros_like(query), key, value


def ones(problem: Problem, generator: torch.Generator) -> Drawn:
    """Values of 1: the output is exactly 1 where the weights add up to 1."""
    query, key, value = normal(problem, generator)
    return query, key, torch.ones_like(value)


def key_coded(problem: Problem, generator: torch.Generator) -> Drawn:
    """Values with a 1 in the column of their key block: the output is the weight of each block."""
    query, key, value = normal(problem, generator)
    columns = torch.arange(problem.key_length) // CODED_KEYS % problem.value_dim
    return query, key, torch.nn.functional.one_hot(columns, problem.value_dim).float().expand_as(value).clone()


def head_coded(problem: Problem, generator: torch.Generator) -> Drawn:
    """Values that name their batch and key head: the output says which head was read."""
    query, key, value = normal(problem, generator)
    names = torch.arange(1.0, problem.batch * problem.key_heads + 1).view(problem.batch, problem.key_heads, 1, 1)
    return query, key, names.expand_as(value).clone()


def column_coded(problem: Problem, generator: torch.Generator) -> Drawn:
    """Values that name their column: the output says where each column went."""
    query, key, value = normal(problem, generator)
    return query, key, torch.arange(1.0, problem.value_dim + 1).expand_as(value).clone()


def needle(problem: Problem, generator: torch.Generator) -> Drawn:
    """Each query matches one key, by turns of rows and heads the last and first of the row, the first and last that it
    may attend to, the next one, which it may not, and those beside a tile's edge."""
    query, key, value = normal(problem, generator)
    for batch in range(problem.batch):
        for head in range(problem.query_heads):
            keys = key[batch, head // problem.group]
            matched = keys[needle_targets(problem, batch, head)]
            query[batch, head] = matched * (NEEDLE / problem.scale / matched.square().sum(dim=1, keepdim=True))
    return query, key, value


def needle_targets(problem: Problem, batch: int, head: int) -> Tensor:
    """The key `[Sq]` that each query of one head matches."""
    length, rows = problem.key_length, problem.query_length
    first, last = torch.zeros(rows, dtype=torch.int64), torch.full((rows,), length - 1)
    step = problem.mask.row_step(problem.lengths)
    for start in range(0, rows, step):
        for begin in range(start, min(start + step, rows), 512):
            chunk = range(begin, min(begin + 512, start + step, rows))
            allowed = problem.mask.allowed(problem.lengths, batch, head, chunk, range(length)).to(torch.int8)
            first[begin : chunk.stop] = allowed.argmax(dim=1)
            last[begin : chunk.stop] = length - 1 - allowed.flip(1).argmax(dim=1)
    places = [length - 1, 0, first, last, last + 1, 63, 64, 127, 128]
    table = torch.stack([torch.as_tensor(place).expand(rows) for place in places]) % length
    row = torch.arange(rows)
    # Every head begins elsewhere, or a single query would match the same key in all of them.
    turn = row + batch * problem.query_heads + head
    return table[turn % len(places), row]


def negative(problem: Problem, generator: torch.Generator) -> Drawn:
    """All logits near -120: a padding key that scores 0, or a maximum that starts at 0, spoils every row."""
    query, key, value = normal(problem, generator)
    direction = torch.randint(0, 2, (problem.head_dim,), generator=generator) * 2.0 - 1.0
    pull = NEGATIVE / problem.scale / problem.head_dim
    return pull * direction * (1 + query * 0.01), direction + key * 0.1, value


def growing(problem: Problem, generator: torch.Generator) -> Drawn:
    """Logits that rise along the keys: every step has a new maximum and must rescale what came before."""
    query, key, value = normal(problem, generator)
    direction = torch.randint(0, 2, (problem.head_dim,), generator=generator) * 2.0 - 1.0
    rise = torch.linspace(0.0, 1.0, problem.key_length).unsqueeze(1)
    pull = GROWTH / problem.scale / problem.head_dim
    return pull * direction * (1 + query * 0.01), rise * direction + key * 0.1, value


def large(problem: Problem, generator: torch.Generator) -> Drawn:
    """Logits eight times as large: few keys carry a row, and an exponential that is off shows."""
    query, key, value = normal(problem, generator)
    return query * LARGE, key, value


def integers(problem: Problem, generator: torch.Generator) -> Drawn:
    """Sparse small integers: logits repeat, and errors do not average away."""
    query, key, value = (torch.randint(-2, 3, shape, generator=generator).float() for shape in problem.input_shapes)
    return query, key * (torch.rand(key.shape, generator=generator) < 0.3), value


def large_value(problem: Problem, generator: torch.Generator) -> Drawn:
    """Values near 2000: sums of them overflow float16, and weights that do not add up to 1 show."""
    query, key, value = normal(problem, generator)
    return query, key, LARGE_VALUE * (1 + value * 0.25)


def constant_column(problem: Problem, generator: torch.Generator) -> Drawn:
    """Keys of 1 in their first column: the gradient of a query there is the sum of a row of dS, which is 0."""
    query, key, value = normal(problem, generator)
    key[..., 0] = 1.0
    return query, key, value


DRAWERS: dict[Recipe, Drawer] = {
    "normal": normal,
    "zeros": zeros,
    "zeroquery": zero_query,
    "ones": ones,
    "keycoded": key_coded,
    "headcoded": head_coded,
    "columncoded": column_coded,
    "needle": needle,
    "negative": negative,
    "growing": growing,
    "large": large,
    "integers": integers,
    "largevalue": large_value,
    "onehotgrad": normal,
    "constantcolumn": constant_column,
}
"""The function that draws query, key and value of each recipe, in float32 or float64."""

DEPENDS_ON_MASK: tuple[Recipe, ...] = ("needle",)
DEPENDS_ON_SCALE: tuple[Recipe, ...] = ("needle", "negative", "growing")


def content(problem: Problem, recipe: Recipe) -> str:
    """What of a problem, beside shape and dtype, a recipe's tensors depend on, as text."""
    parts = [
        repr(problem.scale) if recipe in DEPENDS_ON_SCALE else "",
        problem.mask.key if recipe in DEPENDS_ON_MASK else "",
    ]
    return "-".join([recipe, *filter(None, parts)])


def draw(problem: Problem, recipe: Recipe, generator: torch.Generator) -> Drawn:
    """query `[B, Hq, Sq, D]`, key `[B, Hkv, Skv, D]`, value `[B, Hkv, Skv, Dv]`, float32 or float64."""
    return DRAWERS[recipe](problem, generator)


def draw_grad_out(problem: Problem, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """The gradient of the output `[B, Hq, Sq, Dv]`, float32 or float64: standard normal.

    "onehotgrad": a 1 in the column of the row's number, so that up to Dv rows dV shows the probabilities themselves.
    """
    if recipe == "onehotgrad":
        columns = torch.arange(problem.query_length) % problem.value_dim
        one_hot = torch.nn.functional.one_hot(columns, problem.value_dim).float()
        return one_hot.expand(problem.out_shape).clone()
    return torch.randn(problem.out_shape, generator=generator, dtype=problem.sum_dtype)
