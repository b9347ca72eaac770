"""What the scores are multiplied with."""

from __future__ import annotations

import math

from torch import Tensor

from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.mutant import plant
from pytest_attn.selfcheck.mutants.tile_loop import TileLoop


@plant("scale")
class UserScaleIgnored(TileLoop):
    """The scale is 1 / sqrt(head_dim), whatever was asked for (FlashInfer #1072)."""

    def scale(self, problem: Problem) -> float:
        return 1.0 / math.sqrt(problem.head_dim)


@plant("scale")
class ScaleMissing(TileLoop):
    """Logits are not scaled."""

    def scale(self, problem: Problem) -> float:
        return 1.0


@plant("scale")
class ScaleTwice(TileLoop):
    """The scale is applied to the query and to the scores."""

    def scale(self, problem: Problem) -> float:
        return problem.scale**2


@plant("scale")
class ScaleOfPaddedHeadDim(TileLoop):
    """The scale is that of the head dim rounded up to a power of two (TileLang #900)."""

    def scale(self, problem: Problem) -> float:
        return problem.scale * math.sqrt(problem.head_dim / 2 ** math.ceil(math.log2(problem.head_dim)))


@plant("scale")
class ScaleOfValueDim(TileLoop):
    """The scale is that of the values' head dim (TileLang #900)."""

    def scale(self, problem: Problem) -> float:
        return problem.scale * math.sqrt(problem.head_dim / problem.value_dim)


@plant("scale")
class ScaleOffByTwoPercent(TileLoop):
    """The scale is 2 % too large."""

    def scale(self, problem: Problem) -> float:
        return problem.scale * 1.02


@plant("scale")
class Log2eMissing(TileLoop):
    """Weights are 2^x of logits that were not multiplied with log2(e) (FlashInfer #787)."""

    def exp(self, logits: Tensor) -> Tensor:
        return logits.exp2()
