"""What a kernel says of its arithmetic; the judge derives its error budget from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from pytest_attn.kernels.backward_numerics import BackwardNumerics
from pytest_attn.kernels.precision import Precision, refuse_unknown_precision
from pytest_attn.text import names_unknown_fields

Products = Literal["input", "tf32", "tf32-truncated"]

BLAS_CHAIN = 256
"""Terms that a BLAS library on a CPU adds in a row at most, for `Numerics.chain`; measured, it is about 200 (MKL) for
float32, and there is no limit for float64."""

FEW_ROWS = 3
"""Products of so few rows, on each thread, are made row by row there: each adds its terms in one chain (measured)."""

EmptyOut = Literal["zero", "any"]


@names_unknown_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class Numerics:
    """The arithmetic of a kernel. The defaults are those of a flash kernel on tensor cores."""

    probabilities: Precision = "input"
    """Precision to which each probability is rounded before the product with the values."""

    logits: Precision | None = None
    """Precision in which the scaled scores are stored before the softmax. None: float32, or float64 for inputs of
    float64."""

    accumulator: Precision | None = None
    """Precision in which both products and the sum of weights accumulate. None: float32, or float64 for inputs of
    float64."""

    products: Products = "input"
    """What the operands of matrix products keep, where their type has more bits: "input", all of them; "tf32", 10 bits
    of mantissa, rounded to nearest, as cuBLAS has it where `torch.backends.cuda.matmul.allow_tf32` is True or
    `torch.set_float32_matmul_precision` is "high"; "tf32-truncated", 10 bits, the rest cut off, as tensor cores read
    float32 that nobody rounded, which `tl.dot` of Triton hands them with `input_precision="tf32"`."""

    normalized: bool = False
    """Whether the probabilities are divided by their sum before they are rounded, as softmax followed by a product
    does; flash kernels divide the result."""

    stored_accumulator: Precision | None = None
    """Precision to which the running output is rounded after each tile of keys, beyond the sum itself: where it is
    stored in less than the accumulator's, or divided and multiplied again. None: nowhere."""

    tile: int = 64
    """Keys of a tile, where the running output is rounded after each."""

    split: bool = False
    """Whether results of parts of the keys are merged through their log-sum-exp, as split-KV kernels do, in float32
    (float64 for inputs of float64)."""

    exp_error: float | None = None
    """Largest relative error of the exponential. None: 2^-16 for half types (hardware exp2, short polynomials), 2^-22
    for float32, 2^-50 for float64."""

    tanh_error: float | None = None
    """Largest relative error of the hyperbolic tangent, where logits are capped. None: 2^-11 for half types (hardware
    tanh), 2^-22 for float32, 2^-50 for float64."""

    chain: int | None = None
    """Most terms that are added one after the other before partial sums are combined. None: 512 for half types, whose
    kernels sum by tiles, and all terms of a sum for float32 and float64. BLAS libraries on CPUs add about 200 in a
    row."""

    row_chain: int | None = None
    """As `chain`, of sums along a row without a product: of its weights, and of P * dP. None: as `chain`. Vector units
    add in as many chains as they have lanes."""

    backward: BackwardNumerics = field(default_factory=BackwardNumerics)
    """The arithmetic of the backward pass."""

    def __post_init__(self) -> None:
        refuse_unknown_precision("Numerics", "probabilities", self.probabilities, optional=False)
        for name in ("logits", "accumulator", "stored_accumulator"):
            refuse_unknown_precision("Numerics", name, getattr(self, name), optional=True)
        if self.products not in get_args(Products):
            words = ", ".join(get_args(Products))
            raise ValueError(f"Numerics: products is {self.products!r}; allowed: {words}")
        for name in ("exp_error", "tanh_error"):
            error = getattr(self, name)
            if error is not None and not (_is_number(error) and 0.0 <= error < 1.0):
                raise ValueError(f"Numerics: {name} is {error!r}; allowed: None or a number, 0 to 1")
        if not isinstance(self.backward, BackwardNumerics):
            raise ValueError(f"Numerics: backward is {self.backward!r}; allowed: a BackwardNumerics")
        for name in ("chain", "row_chain", "tile"):
            value = 1 if getattr(self, name) is None else getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"Numerics: {name} is {value!r}; allowed: a whole number, 1 or more")


@names_unknown_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyRows:
    """What a kernel returns for a row that may attend to nothing. Default: out 0, LSE -inf."""

    out: EmptyOut = "zero"
    """"zero", or "any" where the kernel leaves the row unspecified (it is then not judged)."""

    lse: float | None = float("-inf")
    """The value of the LSE; None where it is unspecified (it is then not judged)."""

    def __post_init__(self) -> None:
        if self.out not in get_args(EmptyOut):
            raise ValueError(f"EmptyRows: out is {self.out!r}; allowed: {', '.join(get_args(EmptyOut))}")
        if self.lse is not None and not _is_number(self.lse):
            raise ValueError(f"EmptyRows: lse is {self.lse!r}; allowed: None or a number, infinities and NaN too")


def _is_number(value: Any) -> bool:
    # True is an int to Python, and no number to whoever wrote it here.
    return isinstance(value, int | float) and not isinstance(value, bool)
