"""What a wrong backward pass may compute, step by step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pytest_attn.diagnosis.backward import Backward
from pytest_attn.oracles.reference import ReferenceGradients
from pytest_attn.problem.kinds import Kind
from pytest_attn.problem.masks import Causal, parts

TILES = ((64, 64), (128, 64), (64, 128), (128, 128), (32, 32), (16, 16))
"""(queries, keys) of a tile, as kernels have them."""

TILE_ROWS = sorted({rows for rows, _ in TILES})

HALF = (torch.bfloat16, torch.float16)


class Guess(NamedTuple):
    """A kind of bug, in words, and the gradients of a backward pass that has it; `rounds` where it is a rounding, which
    need not fall the same way in every number."""

    kind: Kind
    phrase: str
    gradients: ReferenceGradients
    rounds: bool = False


def guesses(true: Backward) -> Iterator[Guess]:
    """What may be wrong with a backward pass, from the specific to the general."""
    yield from _missing(true)
    yield from _exchanged(true)
    yield from _delta(true)
    yield from _lse(true)
    yield from _scale(true)
    yield from _mask(true)
    yield from _tails(true)
    yield from _overwritten(true)
    yield from _heads(true)
    yield from _head_dim(true)
    yield from _precision(true)


def _missing(true: Backward) -> Iterator[Guess]:
    """Gradients of nothing, or of the wrong factor."""
    own = true.gradients()
    for name, gradient in own._asdict().items():
        yield Guess("null", f"{name} is 0", own._replace(**{name: torch.zeros_like(gradient)}))
    yield Guess("null", "all gradients are 0", ReferenceGradients(*map(torch.zeros_like, own)))
    of_weights = true.gradients(score_gradients=true.weights)
    yield Guess("null", "dk is made of P, not of dS", own._replace(dk=of_weights.dk))
    yield Guess("null", "dq is made of P, not of dS", own._replace(dq=of_weights.dq))
    yield Guess("null", "dv is made of dS, not of P", own._replace(dv=true.gradients(weights=true.score_gradients).dv))
    products = true.weights * true.products
    yield Guess("null", "dS is dP - delta without P", true.gradients(score_gradients=true.products - true.delta))
    yield Guess("delta", "dS is P dP: delta, the row sum of dO out, is not subtracted", true.gradients(None, products))


def _exchanged(true: Backward) -> Iterator[Guess]:
    """Gradients of the other sign, or in each other's place."""
    own = true.gradients()
    for name, gradient in own._asdict().items():
        yield Guess("scale", f"{name} has the wrong sign", own._replace(**{name: -gradient}))
    yield Guess("scale", "dq and dk have the wrong sign", own._replace(dq=-own.dq, dk=-own.dk))
    if own.dk.shape == own.dv.shape:
        yield Guess("null", "dk and dv are in each other's place", own._replace(dk=own.dv, dv=own.dk))


def _delta(true: Backward) -> Iterator[Guess]:
    delta = true.delta
    yield Guess("delta", "delta, the row sum of dO out, is added to dP, not subtracted", _with(true, delta=-delta))
    if len(delta[0]) > 1:
        yield Guess("delta", "each head reads delta of the next", _with(true, delta=delta.roll(-1, dims=1)))
        yield Guess("delta", "each head reads delta of the one before", _with(true, delta=delta.roll(1, dims=1)))
        yield Guess("delta", "every head reads delta of the first", _with(true, delta=delta[:, :1].expand_as(delta)))
    for rows in TILE_ROWS:
        if rows < delta.shape[2]:
            phrase = f"every tile of {rows} queries reads delta of the first"
            yield Guess("delta", phrase, _with(true, delta=_of_first_tile(delta, rows)))


def _lse(true: Backward) -> Iterator[Guess]:
    lse, scores = true.lse, true.scores
    for rows in TILE_ROWS:
        if rows < lse.shape[2]:
            phrase = f"every tile of {rows} queries reads the LSE of the first"
            yield Guess("lse order", phrase, _with(true, lse=_of_first_tile(lse, rows)))
    if len(lse[0]) > 1:
        yield Guess("lse order", "each head reads the LSE of the next", _with(true, lse=lse.roll(-1, dims=1)))
    maximum = scores.masked_fill(~true.allowed, -torch.inf).amax(dim=3, keepdim=True)
    phrase = "P is exp(s - maximum) in the backward pass: not divided by its sum"
    yield Guess("rescale", phrase, _with(true, lse=maximum.masked_fill(maximum.isneginf(), 0.0)))
    two = math.log(2)
    phrase = "P is 2^(s - lse) in the backward pass: log2(e) is missing"
    yield Guess("lse base", phrase, _with(true, lse=lse * two, scores=scores * two))
    phrase = "the backward pass takes the LSE for one in base 2"
    yield Guess("lse base", phrase, _with(true, lse=lse * two))
    phrase = "the LSE is in base 2, and the backward pass takes it for a natural one"
    yield Guess("lse base", phrase, _with(true, lse=lse / two))


def _scale(true: Backward) -> Iterator[Guess]:
    own, problem = true.gradients(), true.problem
    scale, default = problem.scale, 1 / math.sqrt(problem.head_dim)
    for factor, words in ((1 / scale if scale else 0.0, "not multiplied"), (scale, "multiplied twice")):
        if factor in (0.0, 1.0):
            continue
        for names in (("dq",), ("dk",), ("dq", "dk")):
            scaled = own._replace(**{name: getattr(own, name) * factor for name in names})
            verb = "is" if len(names) == 1 else "are"
            yield Guess("scale", f"{' and '.join(names)} {verb} {words} with the softmax scale", scaled)
    raw = true.scores / scale if scale else true.scores
    for other, words in ((default, "1 / sqrt(head_dim)"), (1.0, "1")):
        if math.isclose(other, scale):
            continue
        found = _with(true, scores=raw * other)
        yield Guess("scale", f"logits of the backward pass have the scale {words}, not the one given", found)
        factor = other / scale if scale else 0.0
        whole = found._replace(dq=found.dq * factor, dk=found.dk * factor)
        yield Guess("scale", f"the backward pass has the scale {words}, not the one given", whole)


def _mask(true: Backward) -> Iterator[Guess]:
    problem, allowed = true.problem, true.allowed
    causal = next((part for part in parts(problem.mask) if isinstance(part, Causal)), None)
    if causal is None:
        return
    query = torch.arange(problem.query_length).unsqueeze(1)
    key = torch.arange(problem.key_length)
    behind = problem.key_length - problem.query_length if causal.align == "bottom-right" else 0
    own = true.gradients()
    if not torch.equal(allowed, (key <= query + behind).expand_as(allowed)):
        return  # another mask lies over the causal one
    short = true.seeing(key <= query + behind - 1).gradients()
    yield Guess("causal diagonal", "the causal diagonal of the backward pass lies one key too short", short)
    for tiles in visited(allowed):
        unmasked = true.seeing(tiles).gradients()
        yield Guess("leaked keys", "the causal mask is ignored in the backward pass", unmasked)
        yield Guess("leaked keys", "dv is made of P that the causal mask does not hide", own._replace(dv=unmasked.dv))
        far = true.seeing(tiles & (key <= query + behind + 1)).gradients()
        yield Guess("causal diagonal", "the causal diagonal of the backward pass lies one key too far", far)
    other = 0 if behind else problem.key_length - problem.query_length
    if other != behind:
        words = "top-left" if behind else "bottom-right"
        moved = true.seeing(key <= query + other).gradients()
        yield Guess("causal diagonal", f"the causal diagonal of the backward pass is {words}", moved)


def visited(allowed: Tensor) -> Iterator[Tensor]:
    """All pairs, and those of the tiles that hold an allowed one."""
    yield torch.ones_like(allowed)
    queries, length = allowed.shape[2:]
    for rows, keys in TILES:
        padded = torch.nn.functional.pad(allowed, (0, -length % keys, 0, -queries % rows))
        shape = (*padded.shape[:2], padded.shape[2] // rows, rows, padded.shape[3] // keys, keys)
        tiles = padded.view(shape).any(dim=5).any(dim=3)
        yield tiles[:, :, torch.arange(queries) // rows][:, :, :, torch.arange(length) // keys]


def _tails(true: Backward) -> Iterator[Guess]:
    queries = true.allowed.shape[2]
    for rest in sorted({queries % rows for rows in TILE_ROWS} - {0}):
        seen = torch.arange(queries) < queries - rest
        kept = true.seeing(true.allowed & seen.unsqueeze(1)).gradients()
        yield Guess("tail", f"the last {rest} queries, less than a tile, give no gradients", kept)
    told: list[Tensor] = []
    for rows, width in TILES:
        kept_keys = _without_last_tile(true.allowed, rows, width)
        if not any(torch.equal(kept_keys, other) for other in told):
            told.append(kept_keys)
            phrase = f"the last tile of {width} keys is left out of the backward pass"
            yield Guess("tail", phrase, true.seeing(kept_keys).gradients())


def _overwritten(true: Backward) -> Iterator[Guess]:
    """Gradients of the last tile alone: each tile overwrites what the one before has stored."""
    own, queries = true.gradients(), torch.arange(true.allowed.shape[2])
    for rows, width in TILES:
        last = true.seeing(true.allowed & ~_without_last_tile(true.allowed, rows, width))
        phrase = f"dq is that of the last tile of {width} keys alone: tiles are stored, not added"
        yield Guess("lost keys", phrase, own._replace(dq=last.gradients().dq))
    for rows in TILE_ROWS:
        first = (len(queries) - 1) // rows * rows
        if first:
            last = true.seeing(true.allowed & (queries >= first).unsqueeze(1))
            phrase = f"dk and dv are those of the last tile of {rows} queries alone: tiles are stored, not added"
            yield Guess("lost keys", phrase, last.gradients()._replace(dq=own.dq))


def _without_last_tile(allowed: Tensor, rows: int, keys: int) -> Tensor:
    """The pairs before the last tile of keys that some query of a tile of queries attends to."""
    places = torch.arange(1, allowed.shape[3] + 1)
    last = [(part.any(dim=2) * places).amax(dim=2) for part in torch.split(allowed, rows, dim=2)]
    first = [(stop.clamp_min(1) - 1) // keys * keys for stop in last]
    stops = torch.cat([stop[:, :, None].expand(-1, -1, rows) for stop in first], dim=2)[:, :, : allowed.shape[2]]
    return allowed & (places - 1 < stops.unsqueeze(3))


def _heads(true: Backward) -> Iterator[Guess]:
    problem, group = true.problem, true.problem.group
    if group == 1:
        return
    dq, *each = true.by_query_head()
    batches, heads = problem.batch, problem.key_heads

    def alone(which: int) -> ReferenceGradients:
        return ReferenceGradients(dq, *(tensor[:, which::group] for tensor in each))

    words = "dk and dv are those of the {} query head of a group, not the sum"
    yield Guess("head mapping", words.format("last"), alone(group - 1))
    yield Guess("head mapping", words.format("first"), alone(0))
    mean = ReferenceGradients(dq, *(true.summed(tensor) / group for tensor in each))
    yield Guess("head mapping", "dk and dv are the mean over the query heads of a group, not the sum", mean)
    if heads > 1:
        summed = (tensor.view(batches, group, heads, *tensor.shape[2:]).sum(dim=1) for tensor in each)
        phrase = "query head h adds to dk and dv of key head h modulo their number"
        yield Guess("head mapping", phrase, ReferenceGradients(dq, *summed))


def _head_dim(true: Backward) -> Iterator[Guess]:
    width = true.value.shape[3]
    for columns in sorted({-(-width // 2), 16, 32, 64, 128}):
        if columns < width:
            products = true.grad_out[..., :columns] @ true.value[..., :columns].mT
            phrase = f"dP sees the first {columns} of {width} columns of value and dO"
            yield Guess("head dim", phrase, _with(true, products=products))


def _precision(true: Backward) -> Iterator[Guess]:
    for dtype in HALF:
        word = str(dtype).removeprefix("torch.")
        if true.problem.dtype == dtype:
            continue
        score_gradients, weights = true.score_gradients, true.weights
        rounded = score_gradients.to(dtype).double(), weights.to(dtype).double()
        found: dict[str, tuple[Kind, ReferenceGradients]] = {
            f"dS is rounded to {word}": ("precision", true.gradients(None, rounded[0])),
            f"dP is rounded to {word}": ("precision", _with(true, products=true.products.to(dtype).double())),
            f"P is rounded to {word} in the backward pass": ("precision", true.gradients(rounded[1])),
            f"P and dS are rounded to {word}": ("precision", true.gradients(rounded[1], rounded[0])),
            f"delta is rounded to {word}": ("delta", _with(true, delta=true.delta.to(dtype).double())),
            f"the LSE is rounded to {word}": ("precision", _with(true, lse=true.lse.to(dtype).double())),
        }
        for phrase, (kind, gradients) in found.items():
            yield Guess(kind, phrase, gradients, rounds=True)
        for rows, keys in TILES:
            kept = true.in_tiles(dtype, rows, keys)
            yield Guess("precision", f"gradients are kept in {word} between tiles", kept, rounds=True)


def _with(true: Backward, **tensors: Any) -> ReferenceGradients:
    return replace(true, **tensors).gradients()


def _of_first_tile(tensor: Tensor, rows: int) -> Tensor:
    """A tensor `[B, H, Sq, 1]` whose tiles of rows all hold what the first does."""
    return tensor[:, :, torch.arange(tensor.shape[2]) % rows]
