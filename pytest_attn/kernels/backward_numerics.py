"""What a kernel says of the arithmetic of its backward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pytest_attn.kernels.precision import Precision, refuse_unknown_precision
from pytest_attn.text import names_unknown_fields

DeltaOf = Literal["out", "probabilities"]

WeightsOf = Literal["lse", "softmax", "stored"]

OPTIONAL_PRECISIONS = ("probability_gradients", "scaled_score_gradients", "stored_gradients")
PRECISIONS = ("score_gradients", "grouped_gradients", *OPTIONAL_PRECISIONS)


@names_unknown_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class BackwardNumerics:
    """The arithmetic of a backward pass, beside what `Numerics` says of both. The defaults are those of a flash kernel
    on tensor cores, which computes P = exp(s - lse) anew."""

    probability_gradients: Precision | None = None
    """Precision to which dP = dO V^T is rounded before dS is made of it. None: it stays in the accumulator."""

    score_gradients: Precision = "input"
    """Precision to which dS = P * (dP - delta) is rounded before its products with key and query."""

    scaled_score_gradients: Precision | None = None
    """Precision to which dS, rounded, is rounded once more when it is multiplied with the scale. None: dQ and dK are
    multiplied with it, or dS before it is rounded."""

    delta_of: DeltaOf = "out"
    """What delta is the row sum of: "out", grad_out * out with the output as it was rounded, or "probabilities",
    P * dP, as the derivative of a softmax has it."""

    weights_of: WeightsOf = "lse"
    """What gives P: "lse", exp(s - lse) anew; "softmax", exp(s - max) over its sum, as the forward pass had it; or
    "stored", that softmax as the forward pass rounded it to the precision of its probabilities."""

    stored_gradients: Precision | None = None
    """Precision to which the running gradients are rounded after each tile. None: they are kept in that of sums."""

    query_tile: int = 64
    """Queries of a tile, after which the running gradients of key and value are stored."""

    key_tile: int = 64
    """Keys of a tile, after which the running gradient of the query is stored."""

    shared_gradients: bool = False
    """Whether all query heads of a group add their tiles to one running gradient of key and value; else each head has
    its own, and those of a group are added at the end."""

    grouped_gradients: Precision = "input"
    """Precision to which the gradients of key and value by each query head are rounded before those of a group are
    added."""

    def __post_init__(self) -> None:
        for name in PRECISIONS:
            optional = name in OPTIONAL_PRECISIONS
            refuse_unknown_precision("BackwardNumerics", name, getattr(self, name), optional=optional)
        for name, choices in (("delta_of", get_args(DeltaOf)), ("weights_of", get_args(WeightsOf))):
            if getattr(self, name) not in choices:
                raise ValueError(f"BackwardNumerics: {name} is {getattr(self, name)!r}; allowed: {', '.join(choices)}")
        if not isinstance(self.shared_gradients, bool):
            raise ValueError(f"BackwardNumerics: shared_gradients is {self.shared_gradients!r}; allowed: True, False")
        for name in ("query_tile", "key_tile"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"BackwardNumerics: {name} is {value!r}; allowed: a whole number, 1 or more")
