"""A reference that is off itself: what is large by its own error is off towards zero, on average.

The mean error away from zero takes its signs from the reference x, of elements with |x| > sigma. Let x = o + n with an
error n of its own, of variance tau^2; then the error of an exact result, o - x = -n, has a mean under that choice:

    E[n sign(x) (|x| > sigma)] = tau (phi((|o| - sigma) / tau) + phi((|o| + sigma) / tau)),    phi of the normal law,

as n itself takes elements over the threshold, or keeps them below. It is of order tau^2 times the density of o there,
however many elements there are, so it does not average out. x stands for o: the density is the same where it is flat
over tau.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEAST_SHARE = 2.0**-12
"""tau^2 / sigma^2 below which the mean is less than 1e-4 sigma, and no clustered standard error is as small."""


def mean_of_noise(truth: Tensor, noise: Tensor, sigma: Tensor) -> float:
    """The mean error, towards zero, of an exact result beside a noisy reference, relative as `OutBudget.systematic`.

    `truth` x, `noise` tau^2 and `sigma`: all `[B, H, S, D]`.
    """
    near = noise > LEAST_SHARE * sigma.square()
    if not bool(near.any()):
        return 0.0
    scale, of_error = noise[near].sqrt(), sigma[near]
    size = truth[near].abs()
    density = sum(
        torch.exp(-((distance / scale).square()) / 2) for distance in (size - of_error, size + of_error)
    ) / math.sqrt(2 * math.pi)
    mean = float((scale * density / of_error).sum(dtype=torch.float64))
    return mean / max(float((truth.abs() / sigma).sum(dtype=torch.float64)), 1e-300)
