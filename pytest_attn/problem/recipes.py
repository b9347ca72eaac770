"""How query, key and value are drawn. Inputs matter more than thresholds: each recipe makes one kind of bug visible.

A drawer returns float32 tensors, and float64 ones where all digits of float64 are needed; `Inputs.draw` rounds them to
the dtype of the problem.
"""

from __future__ import annotations

import math
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

BEYOND_CAP = (100.0, 1000.0)
"""Size of the logits of "saturating", in multiples of what a function of them saturates at."""

CANCELLED = 128.0
"""Middle size of the scaled products of "cancelling", where those of other channels are 0.1."""

CANCELLING_PAIRS = 2
"""Pairs of channels of a head whose products cancel, of 8 channels or more."""

HUGE_LOGIT = -140000.0
"""The least scaled logit of "hugelogit", beside twice as large ones: beyond what float16 holds."""

HUGE_VALUE = 0.9
"""The largest values of "hugevalue", in multiples of the largest number that is allowed."""

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


def saturating(problem: Problem, generator: torch.Generator) -> Drawn:
    """Logits of both signs, 100 to 1000 times the cap of capped ones, 1 where there is none: exponentials overflow, in
    a tangent too, and capped keys have the largest weight that there is or the smallest."""
    query, key, value = normal(problem, generator)
    cap = _cap(problem) or 1.0
    least, most = BEYOND_CAP
    # Channels of several sizes: roundings of equal products would all be one error.
    direction = torch.exp2(torch.rand(problem.head_dim, generator=generator, dtype=key.dtype) - 0.5)
    root = (least * cap / abs(problem.scale)) ** 0.5 / direction.norm()
    direction = direction * _signs(direction.shape, generator) * root
    sizes = (most / least) ** torch.rand((*key.shape[:3], 1), generator=generator, dtype=key.dtype)
    query = _signs((*query.shape[:3], 1), generator) * direction
    return query, _signs(sizes.shape, generator) * sizes * direction, value


def _signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random signs, float32."""
    drawn: Tensor = torch.randint(0, 2, shape, generator=generator) * 2.0 - 1.0
    return drawn


def cancelling(problem: Problem, generator: torch.Generator) -> Drawn:
    """Pairs of large channels whose products cancel: the logits are those of the others, and the sums on the way to
    them are not (outlier channels; Dettmers et al., LLM.int8(), 2022)."""
    query, key, value = normal(problem, generator)
    size = (CANCELLED / abs(problem.scale)) ** 0.5

    def sizes(like: Tensor) -> Tensor:
        # Of both signs and within an octave, so that neither keys nor roundings are alike.
        octave = torch.exp2(torch.rand(like.shape[:-1], generator=generator, dtype=like.dtype) - 0.5)
        drawn: Tensor = _signs(like.shape[:-1], generator) * octave * size
        return drawn

    pairs = min(CANCELLING_PAIRS, problem.head_dim // 4) or problem.head_dim // 2
    for head in range(problem.key_heads):
        own = slice(head * problem.group, (head + 1) * problem.group)
        for pair in torch.randperm(problem.head_dim, generator=generator)[: 2 * pairs].view(pairs, 2).tolist():
            first, second = pair
            ratio = float(torch.exp2(torch.rand(1, generator=generator) - 0.5))
            query[:, own, :, first] = sizes(query[:, own])
            query[:, own, :, second] = query[:, own, :, first] * ratio
            key[:, head, :, first] = sizes(key[:, head])
            key[:, head, :, second] = -key[:, head, :, first] / ratio
    return query, key, value


def huge_logit(problem: Problem, generator: torch.Generator) -> Drawn:
    """All logits of a row near one number between -70000 and -140000: query . key overflows float16 before it is scaled
    and after; no finite number stands for minus infinity."""
    query, key, value = normal(problem, generator)
    size = (-HUGE_LOGIT / abs(problem.scale)) ** 0.5
    octave = torch.exp2(-torch.rand(query.shape[:3], generator=generator, dtype=query.dtype))
    query[..., 0] = -math.copysign(size, problem.scale) * octave
    key[..., 0] = size
    return query, key, value


def huge_value(problem: Problem, generator: torch.Generator) -> Drawn:
    """Values near the largest number of float16, or near the largest whose square a sum over the keys holds in float32,
    of one sign in each column: sums overflow where they are kept in less."""
    query, key, value = normal(problem, generator)
    largest = min(torch.finfo(problem.dtype).max, torch.finfo(torch.float32).max ** 0.5 / problem.key_length)
    sign = _signs((problem.value_dim,), generator)
    # Columns within an octave, or all results would be as far from a power of two.
    column = torch.exp2(-torch.rand(problem.value_dim, generator=generator, dtype=value.dtype))
    spread = torch.rand(value.shape, generator=generator, dtype=value.dtype)
    return query, key, sign * column * largest * HUGE_VALUE * (1 + spread) / 2


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
    "saturating": saturating,
    "cancelling": cancelling,
    "hugelogit": huge_logit,
    "hugevalue": huge_value,
}
"""The function that draws query, key and value of each recipe, in float32 or float64."""

DEPENDS_ON_MASK: tuple[Recipe, ...] = ("needle",)
DEPENDS_ON_SCALE: tuple[Recipe, ...] = ("needle", "negative", "growing", "saturating", "cancelling", "hugelogit")
DEPENDS_ON_CAP: tuple[Recipe, ...] = ("saturating",)


def _cap(problem: Problem) -> float:
    """The size of logits from which a variant's function of them hardly changes; 0 where there is none."""
    return max((variant.saturates for variant in problem.variants), default=0.0)


def largest_logit(problem: Problem, recipe: Recipe) -> float:
    """The size that scaled logits reach where a recipe makes them that large on purpose; 0 where they are of usual
    size, or a variant changes them so that none of it is left."""
    if _cap(problem):
        return 0.0
    return {"hugelogit": -HUGE_LOGIT, "saturating": BEYOND_CAP[1]}.get(recipe, 0.0)


def content(problem: Problem, recipe: Recipe) -> str:
    """What of a problem, beside shape and dtype, a recipe's tensors depend on, as text."""
    parts = [
        repr(problem.scale) if recipe in DEPENDS_ON_SCALE else "",
        problem.mask.key if recipe in DEPENDS_ON_MASK else "",
        "-".join(each.token for each in problem.variants if each.saturates) if recipe in DEPENDS_ON_CAP else "",
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
