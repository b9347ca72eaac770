"""What a kernel says of its arithmetic; the judge derives its error budget from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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

OPTIONAL_PRECISIONS = (
    "scale",
    "scaled_query",
    "unscaled_logits",
    "logits",
    "shifted_logits",
    "sinks",
    "accumulator",
    "stored_accumulator",
    "split_parts",
    "stored_lse",
)

EmptyOut = Literal["zero", "any"]


@names_unknown_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class Numerics:
    """The arithmetic of a kernel. The defaults are those of a flash kernel on tensor cores."""

    probabilities: Precision = "input"
    """Precision to which each probability is rounded before the product with the values."""

    values: Precision = "input"
    """Precision to which the values are rounded before their product with the probabilities, where that has fewer bits
    than the inputs; dV has that precision too then, as autograd of the conversion gives it."""

    scale: Precision | None = None
    """Precision to which the softmax scale itself is rounded before it is multiplied with anything, as frameworks do
    that make a scalar of the tensor's type. None: that of the logits."""

    scaled_query: Precision | None = None
    """Precision to which the query times the scale is rounded before its product with the keys. None: the scale is
    multiplied with the product, or inside the exponential."""

    unscaled_logits: Precision | None = None
    """Precision to which query . key is rounded before it is multiplied with the scale. None: it stays in the
    accumulator."""

    logits: Precision | None = None
    """Precision in which the scaled scores are stored before the softmax. None: float32, or float64 for inputs of
    float64."""

    shifted_logits: Precision | None = None
    """Precision to which a logit less the maximum of its row is rounded before its exponential. None: float32, or
    float64 for inputs of float64."""

    sinks: Precision | None = None
    """Precision to which the logit of a sink is rounded, as models do whose sinks are parameters of the type of the
    inputs. None: it is taken as it is given, in float32."""

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

    split_parts: Precision | None = None
    """Precision to which the result of each part is rounded before they are merged, where `split` says that they are:
    "input" where parts are stored as results are, as cascade and ring attention do. None: float32, or float64 for
    inputs of float64."""

    stored_lse: Precision | None = None
    """Precision to which the log-sum-exp is rounded before it is returned, in float32 whatever it was. None: float32,
    or float64 for inputs of float64."""

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
        for name in ("probabilities", "values"):
            refuse_unknown_precision("Numerics", name, getattr(self, name), optional=False)
        for name in OPTIONAL_PRECISIONS:
            refuse_unknown_precision("Numerics", name, getattr(self, name), optional=True)
        if self.split_parts is not None and not self.split:
            raise ValueError(
                f"Numerics: split_parts is {self.split_parts!r} without split; allowed: None, or split=True"
            )
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

    @staticmethod
    def of_flash() -> Numerics:
        """A flash kernel on tensor cores, written in CUDA or Triton, that keeps logits and sums in float32: what
        `Numerics()` is."""
        return Numerics()

    @staticmethod
    def of_torch_eager(*, scale: Precision | None = None) -> Numerics:
        """`softmax(query @ key.mT * scale) @ value` of tensors of the input dtype, and its gradients by autograd.

        Every step is stored in that dtype: the product, its multiple, what a mask adds, the weights; going back dP,
        dS and its multiple, and the gradients of repeated heads. A softmax in float32 that is converted back is
        covered. `scale`: "input" where the framework makes a scalar of the tensor's dtype, as JAX and MLX do.
        """
        return Numerics(
            scale=scale,
            unscaled_logits="input",
            logits="input",
            normalized=True,
            backward=BackwardNumerics(
                weights_of="stored",
                delta_of="probabilities",
                probability_gradients="input",
                scaled_score_gradients="input",
            ),
        )

    @staticmethod
    def of_scaled_query(*, scale: Precision | None = None) -> Numerics:
        """As `of_torch_eager`, of `softmax((query * scale) @ key.mT) @ value`: MLX's on a CPU, with `scale="input"`."""
        eager = Numerics.of_torch_eager(scale=scale)
        backward = replace(eager.backward, scaled_score_gradients=None)
        return replace(eager, scaled_query="input", unscaled_logits=None, backward=backward)

    @staticmethod
    def of_torch_flash(*, query_tile: int = 32) -> Numerics:
        """PyTorch's flash kernel for the CPU (`SDPBackend.FLASH_ATTENTION`) on half types: its vector exponential is
        off by up to 7e-5, and going back it adds every tile, of all heads of a group, to gradients of the input dtype.

        `query_tile`: queries that it takes at a time, 32, from 192 of them on 64, from 768 on 256; fewer allow more.
        """
        tiles = BackwardNumerics(stored_gradients="input", query_tile=query_tile, key_tile=512, shared_gradients=True)
        return Numerics(exp_error=7e-5, backward=tiles)

    @staticmethod
    def of_merged_parts() -> Numerics:
        """A flash kernel whose results over parts of the keys are stored in the input dtype and merged through their
        LSE, as cascade and ring attention do."""
        return Numerics(split=True, split_parts="input")


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
