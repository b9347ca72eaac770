"""The flat tolerances of published suites, for comparison with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_attn.text import closest

if TYPE_CHECKING:  # the names are needed where torch is not imported
    from pytest_attn.problem.problem import Problem
    from pytest_attn.problem.vocabulary import Ask

DERIVED = "derived"
"""The name of the budget that is derived per element; the default."""


@dataclass(frozen=True, slots=True)
class Allclose:
    """|error| <= atol + rtol |reference|, as (rtol, atol), for the output and for the LSE."""

    out: tuple[float, float]
    lse: tuple[float, float]


@dataclass(frozen=True, slots=True)
class SameDtype:
    """max |error| <= max(floor, factor x max |error of plain attention in the input's dtype|), both maxima over the
    whole output; says nothing of the LSE."""

    factor: float
    floor: float = 0.0


def bsa(problem: Problem) -> Allclose:
    """The published BSA suite; one call that returns both is judged more tightly on the LSE."""
    half = str(problem.dtype) == "torch.float16"
    if problem.ask == "both":
        return Allclose(out=(0.01, 0.01 if half else 0.001), lse=(0.001, 5e-3 if half else 1e-5))
    return Allclose(out=(0.01, 0.001), lse=(0.001, 0.01))


def allclose(problem: Problem) -> Allclose:
    """1e-2 both ways, whatever the dtype: KernelBench for half types, BackendBench, flashinfer-bench."""
    return Allclose(out=(1e-2, 1e-2), lse=(1e-2, 1e-2))


def flash_attention(problem: Problem) -> SameDtype:
    """The tests of flash-attention: at most twice the error of PyTorch's attention in the same dtype."""
    return SameDtype(factor=2.0)


def pytorch_fudge(problem: Problem) -> SameDtype:
    """PyTorch's test_transformers: `fudge_factor` 3 for the output, not below its absolute tolerance of float32."""
    return SameDtype(factor=3.0, floor=1e-5)


ALLCLOSE: dict[str, Callable[[Problem], Allclose]] = {"bsa": bsa, "allclose-1e-2": allclose}
"""Tolerances per element, of output and LSE: the problem's dtype and what is asked choose the numbers."""

SAME_DTYPE: dict[str, Callable[[Problem], SameDtype]] = {
    "flash-attention": flash_attention,
    "pytorch-fudge": pytorch_fudge,
}
"""Tolerances measured by the error of plain attention in the input's dtype, of the output alone."""

FLAT = (*ALLCLOSE, *SAME_DTYPE)
"""Names of the flat tolerances."""


def tolerance_names() -> tuple[str, ...]:
    """What `--attn-tolerance` takes."""
    return (DERIVED, *FLAT)


def judges_lse(name: str) -> bool:
    """Whether a tolerance says anything of the LSE."""
    return name not in SAME_DTYPE


def unjudged_by(name: str, ask: Ask) -> str | None:
    """What is asked for and a tolerance says nothing of, in words; None if it judges that."""
    if ask == "lse" and not judges_lse(name):
        return "the LSE"
    return "gradients" if ask == "grad" and name != DERIVED else None


def refuse_unknown_tolerance(name: str) -> None:
    """Raises ValueError naming the closest tolerances."""
    if name not in tolerance_names():
        raise ValueError(f"unknown tolerance {name!r}; allowed: {closest(name, tolerance_names())}")
