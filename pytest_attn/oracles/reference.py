"""References: the true result of a problem, and the moments that an error budget is derived from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the probabilities p_ij of each row, from which the judge derives what rounding may do.

    `weight_square`: sum_j p_ij^2, and `peak`: the largest p_ij, both `[B, H, Sq]`; where only the LSE was asked for
    they may be upper bounds. `change_square`: sum_j p_ij^2 (change of the logit)^2, `[B, H, Sq]`, None where no variant
    changes logits. `moved_square`: sum_j p_ij^2 (x ds/dx)^2 of the logit x before it is changed and s after,
    `[B, H, Sq]`, None where no function of logits saturates. `value_square`: sum_j p_ij^2 v_jd^2, `[B, H, Sq, Dv]`, to
    about 1 %; None where the output was not asked for. Rows without keys hold zeros.
    """

    weight_square: Tensor
    peak: Tensor
    value_square: Tensor | None = None
    change_square: Tensor | None = None
    moved_square: Tensor | None = None


class ReferenceGradients(NamedTuple):
    """The true gradients of query, key and value, of their shapes. Queries without keys, and keys that no query may
    attend to, hold zeros."""

    dq: Tensor
    dk: Tensor
    dv: Tensor


@dataclass(frozen=True, eq=False)
class Reference:
    """The true result of a problem, one precision above its inputs, on the CPU.

    `lse` `[B, H, Sq]`, natural logarithm, always present; `out` `[B, H, Sq, Dv]`, None where not asked for; `moments`
    None where the oracle does not know them; `grads`, float64, None where not asked for. Rows that may attend to
    nothing hold out 0 and lse -inf. `oracle` names the oracle that made it.
    """

    oracle: str
    lse: Tensor
    out: Tensor | None = None
    moments: Moments | None = None
    grads: ReferenceGradients | None = None

    @property
    def empty_rows(self) -> Tensor:
        """bool `[B, H, Sq]`: rows that may attend to nothing."""
        return torch.isneginf(self.lse)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, flat, as a cache stores them."""
        named = {"lse": self.lse, "out": self.out, **(self.grads._asdict() if self.grads else {})}
        if self.moments is not None:
            named.update({name: getattr(self.moments, name) for name in _MOMENTS})
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    @staticmethod
    def of_tensors(oracle: str, tensors: dict[str, Tensor]) -> Reference:
        """The reference of the tensors that `tensors()` gave; `oracle` names the oracle that made it."""
        moments = (
            Moments(**{name: tensors[name] for name in _MOMENTS if name in tensors}) if "peak" in tensors else None
        )
        grads = ReferenceGradients(*(tensors[name] for name in ReferenceGradients._fields)) if "dq" in tensors else None
        return Reference(oracle, tensors["lse"], tensors.get("out"), moments, grads)


_MOMENTS = tuple(item.name for item in fields(Moments))
