"""What a wrong backward pass may make of windows and of sequences of unequal length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.backward import Backward
from pytest_attn.diagnosis.backward_guesses import Guess, visited
from pytest_attn.diagnosis.model import allowed_pairs
from pytest_attn.diagnosis.variants import mistakes
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Lengths, Ragged
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants.mistake import Mistake


def variant_guesses(true: Backward, inputs: Inputs) -> Iterator[Guess]:
    """Mistakes about which keys a query sees: in the backward pass alone, in both passes, and in the tiles that the
    backward pass visits."""
    problem = true.problem
    if not problem.variants:
        return
    yield from _without_last_query(true)
    wrong = [(each, _pairs(each.problem)) for each in mistakes(problem, inputs) if _is_of_mask(each, problem, inputs)]
    wrong = [(mistake, pairs) for mistake, pairs in wrong if not torch.equal(pairs, true.allowed)]
    for mistake, pairs in wrong:
        alone = f"{mistake.phrase}, in the backward pass"
        yield Guess(mistake.kind, alone, true.seeing(pairs).gradients())
        yield Guess(mistake.kind, mistake.phrase, true.behind_forward(pairs).gradients())
    for tiles in visited(true.allowed):
        for mistake, pairs in wrong:
            seen = pairs & tiles
            if not torch.equal(seen, pairs) and not torch.equal(seen, true.allowed):
                phrase = f"{mistake.phrase}, in the backward pass"
                yield Guess(mistake.kind, phrase, true.seeing(seen).gradients())


def _is_of_mask(mistake: Mistake, problem: Problem, inputs: Inputs) -> bool:
    """Whether a mistake is about the pairs alone: not about tensors, shapes, the scale or what becomes of results."""
    other = mistake.problem
    same = (other.input_shapes, other.scale) == (problem.input_shapes, problem.scale)
    return same and mistake.inputs is inputs and mistake.amend is None and not mistake.general


def _pairs(problem: Problem) -> Tensor:
    allowed = allowed_pairs(problem, torch.arange(problem.query_length))
    return allowed.expand(problem.batch, problem.query_heads, -1, -1)


def _without_last_query(true: Backward) -> Iterator[Guess]:
    """The last query of each sequence is left out, and the diagonal of the others moves or stays."""
    mask = true.problem.mask
    if not isinstance(mask, Ragged):
        return
    fewer = tuple(Lengths(max(each.query - 1, 0), each.key) for each in mask.sequences)
    moved = _pairs(replace(true.problem, mask=Ragged(mask.inner, fewer)))
    before = torch.arange(true.problem.query_length) < torch.tensor([each.query for each in fewer]).unsqueeze(1)
    for pairs in (moved, true.allowed & before[:, None, :, None]):
        phrase = "the last query of each sequence gives no gradients, and has none"
        yield Guess("lost keys", phrase, true.seeing(pairs).gradients())
