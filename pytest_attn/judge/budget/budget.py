"""What a correct result may be off by: the budget, as values that add up. `judge/budget/rounding.py` derives it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class OutBudget:
    """What the output may be off by: all `[B, H, Sq, Dv]`.

    `sigma`: one standard deviation of all rounding; `rest`: of what `bound` does not cover; `bound`: the most that the
    roundings of probabilities and result come to. `systematic`: relative errors of an output that need not average out;
    `common`: the standard deviation of one that all elements share.
    """

    sigma: Tensor
    rest: Tensor
    bound: Tensor
    systematic: float
    common: float = 0.0

    def plus(self, other: OutBudget) -> OutBudget:
        """The budget of the sum, or the difference, of two outputs whose errors are independent."""
        sigma, rest = torch.hypot(self.sigma, other.sigma), torch.hypot(self.rest, other.rest)
        systematic, common = self.systematic + other.systematic, math.hypot(self.common, other.common)
        return OutBudget(sigma, rest, self.bound + other.bound, systematic, common)

    def weighted(self, weight: Tensor | float) -> OutBudget:
        """The budget of the output times a weight, a number or what broadcasts to `[B, H, Sq, Dv]`."""
        return OutBudget(self.sigma * weight, self.rest * weight, self.bound * weight, self.systematic, self.common)

    def last_rows(self, count: int) -> OutBudget:
        """The budget of the last `count` queries alone."""
        sigma, rest, bound = (tensor[:, :, -count:] for tensor in (self.sigma, self.rest, self.bound))
        return OutBudget(sigma, rest, bound, self.systematic, self.common)


@dataclass(frozen=True, eq=False)
class GradientErrors:
    """The budget of one gradient `[B, H, S, D]`; `degrees` `[B, H, S]`: independent errors behind each of its rows;
    `repeats`: in how many terms of a sum, at most, roundings are one error."""

    allowed: OutBudget
    degrees: Tensor
    repeats: float

    def plus(self, other: GradientErrors) -> GradientErrors:
        """The budget of the sum, or the difference, of two gradients whose errors are independent."""
        degrees = torch.minimum(self.degrees, other.degrees)
        return GradientErrors(self.allowed.plus(other.allowed), degrees, max(self.repeats, other.repeats))


class GradientBudget(NamedTuple):
    """What dQ, dK and dV may be off by."""

    dq: GradientErrors
    dk: GradientErrors
    dv: GradientErrors

    def plus(self, other: GradientBudget) -> GradientBudget:
        """The budget of the sum, or the difference, of two results whose errors are independent."""
        return GradientBudget(*(mine.plus(theirs) for mine, theirs in zip(self, other, strict=True)))


@dataclass(frozen=True, eq=False)
class LseBudget:
    """What the LSE may be off by: one standard deviation `sigma` `[B, H, Sq]`, the most that roundings which are not
    in it come to, `bound` of the same shape, and the most that shifts it as a whole."""

    sigma: Tensor
    shift: float
    bound: Tensor

    @staticmethod
    def nothing(lse: Tensor) -> LseBudget:
        """That of an LSE which is exact."""
        return LseBudget(torch.zeros_like(lse), 0.0, torch.zeros_like(lse))

    def limits(self, deviation: float) -> Tensor:
        """The largest error of each row `[B, H, Sq]`, with so many standard deviations of what is random."""
        return self.shift + self.bound + deviation * self.sigma

    def plus(self, other: LseBudget) -> LseBudget:
        """The budget of the sum, or the difference, of two LSEs whose errors are independent."""
        return LseBudget(torch.hypot(self.sigma, other.sigma), self.shift + other.shift, self.bound + other.bound)

    def weighted(self, weight: Tensor | float) -> LseBudget:
        """The budget of the LSE times a weight, a number or `[B, H, Sq]`."""
        shift = self.shift * float(torch.as_tensor(weight).max())
        return LseBudget(self.sigma * weight, shift, self.bound * weight)

    def last_rows(self, count: int) -> LseBudget:
        """The budget of the last `count` queries alone."""
        return LseBudget(self.sigma[:, :, -count:], self.shift, self.bound[:, :, -count:])


@dataclass(frozen=True, eq=False)
class Budget:
    """The budget of one problem; None where output, LSE or gradients are not asked for. `repeats` `[B, H]`: by how
    much the variance of summed roundings grows because weights of a row are equal."""

    out: OutBudget | None
    lse: LseBudget | None
    repeats: Tensor
    grads: GradientBudget | None = None

    def plus(self, other: Budget) -> Budget:
        """The budget of the sum, or the difference, of two results whose errors are independent."""
        out = self.out.plus(other.out) if self.out and other.out else None
        lse = self.lse.plus(other.lse) if self.lse and other.lse else None
        grads = self.grads.plus(other.grads) if self.grads and other.grads else None
        return Budget(out, lse, torch.maximum(self.repeats, other.repeats), grads)

    def weighted(self, out: Tensor | float, lse: Tensor | float) -> Budget:
        """The budget of a result whose output and LSE are multiplied by weights that are not negative."""
        return Budget(self.out and self.out.weighted(out), self.lse and self.lse.weighted(lse), self.repeats)

    def last_rows(self, count: int) -> Budget:
        """The budget of the last rows alone."""
        return Budget(self.out and self.out.last_rows(count), self.lse and self.lse.last_rows(count), self.repeats)
