"""Positions beyond the last key, up to the end of its tile, that carry weight whatever their logits are."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.model import Model
from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse
from pytest_attn.problem.problem import Problem

TILES = (16, 32, 64, 128, 256)
"""Keys of a tile."""

COLUMNS = 8
"""Fewer columns do not tell a row that is too small from one that is wrong."""

LEAST = 0.01
"""Weight that is lost to other positions, as a share of a row, which roundings do not come to."""

CLOSER = 8.0
"""How many times nearer rows lie to the truth once each is divided by its own factor."""


def padded_tail(evidence: Evidence) -> Diagnosis | None:
    """Rows that are each too small by one factor, as where other positions take weight, at lengths that leave a last
    tile partial and at no others.

    Queries and keys are those of the case: what a kernel does to equal ones, as a quantised one may, is not asked.
    """
    problem, out = evidence.problem, evidence.out
    if isinstance(problem.mask, BlockSparse) or problem.value_dim < COLUMNS or problem.key_length % TILES[-1] == 0:
        return None
    if out is None or evidence.out_is_right or not bool(out.isfinite().all()):
        return None
    shares = _shares(out, evidence.model)
    lost = float(1.0 - shares.min())
    if lost < LEAST or bool((shares > 1.0 + LEAST).any()) or not _explains(evidence, out, shares):
        return None
    tile = _tile(evidence, lost)
    if tile is None:
        return None
    adds = f"the weights of a row add up to {float(shares.min()):.3g}"
    phrase = f"keys beyond the last, {problem.key_length - 1}, which fill its tile to {tile}, carry weight: {adds}"
    return Diagnosis("tail", f"{phrase}, and to 1 at a multiple of {tile}")


def _shares(out: Tensor, model: Model) -> Tensor:
    """What each row is a multiple of the truth by, `[B, H, R]`, by least squares; 1 where that is 0."""
    size = model.out.square().sum(dim=3)
    return ((out * model.out).sum(dim=3) / size).where(size > 0, 1.0)


def _explains(evidence: Evidence, out: Tensor, shares: Tensor) -> bool:
    """Whether each row is right but for its factor, and the LSE is larger by the logarithm of it."""
    expected, share = evidence.model.out, shares.clamp_min(1e-6)
    if not _nearer(out / share.unsqueeze(3), out, expected):
        return False
    if evidence.lse is None:
        return True
    kept = ~evidence.model.lse.isneginf()
    lse, share = evidence.lse[kept], share[kept]
    return _nearer(lse + share.log(), lse, evidence.model.lse[kept])


def _nearer(mended: Tensor, found: Tensor, expected: Tensor) -> bool:
    """Whether a result lies nearer to the truth by far than another."""
    return bool((mended - expected).square().mean() * CLOSER**2 < (found - expected).square().mean())


def _tile(evidence: Evidence, lost: float) -> int | None:
    """The smallest tile of whose multiples no weight is lost; None where there is none, or no time to find it."""
    low, high = 0, len(TILES)
    while low < high:
        middle = (low + high) // 2
        right = _right_at(evidence, TILES[middle], lost)
        if right is None:
            return None
        low, high = (low, middle) if right else (middle + 1, high)
    return TILES[low] if low < len(TILES) else None


def _right_at(evidence: Evidence, tile: int, lost: float) -> bool | None:
    """Whether next to no weight is lost at an odd multiple of a tile; None where the kernel does not run there."""
    keys = tile * (2 * (evidence.problem.key_length // (2 * tile)) + 1)
    own = replace(evidence.shown, key_length=keys)
    problem = next((each for each in (own, replace(own, query_length=keys)) if evidence.subject.claims(each)), None)
    if problem is None:
        return None
    inputs = _repeated(evidence.inputs, problem)
    result = evidence.run(problem, inputs)
    if not isinstance(result, Output):
        return None
    rows = evidence.rows[evidence.rows < problem.query_length]
    found = result.out[:, :, rows].to(problem.oracle_dtype)
    return float(1.0 - _shares(found, Model.of(problem, inputs, rows)).min()) < lost / CLOSER


def _repeated(inputs: Inputs, problem: Problem) -> Inputs:
    """The queries, keys and values of the case, from the first on again where there are not enough."""
    query, key = (torch.arange(length) for length in (problem.query_length, problem.key_length))
    of_query, of_key = query % inputs.query.shape[2], key % inputs.key.shape[2]
    return Inputs(
        inputs.query[:, :, of_query.to(inputs.query.device)],
        inputs.key[:, :, of_key.to(inputs.key.device)],
        inputs.value[:, :, of_key.to(inputs.value.device)],
        "repeated",
    )
