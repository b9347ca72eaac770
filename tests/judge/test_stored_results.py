"""What is stored in the dtype of the inputs, a log-sum-exp, sinks, shifted logits: declared green, undeclared red."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import pytest_attn
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.case import Case
from tests.judge.test_declared_numerics import record, what

LSE = "b1-h3-s128x127-d96-{dtype}-{recipe}both-exact"
SINKS = "b2-h4-kv2-s67x130-d64-{dtype}-sinks-both-exact"
HALF = ("bfloat16", "float16")


def declared(numerics: Numerics, lse: Callable[[Tensor, torch.dtype], Tensor], **others: Any) -> Kernel:
    """Attention in float32 whose LSE becomes what `lse` makes of it; `others` are further steps of `attention`."""

    def run(query: Tensor, key: Tensor, value: Tensor, **given: Any) -> Any:
        return attention(query, key, value, lse=lse, **given, **others)

    return pytest_attn.kernel(name="stored", numerics=numerics, lse=True, gqa=True, sinks=True)(run)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    sinks: Tensor | None,
    return_lse: bool,
    lse: Callable[[Tensor, torch.dtype], Tensor],
    of_sinks: Callable[[Tensor, torch.dtype], Tensor] = lambda sinks, dtype: sinks,
) -> Tensor | tuple[Tensor, Tensor]:
    """The result, whole rows at a time."""
    group = query.shape[1] // key.shape[1]
    key, value = (tensor.float().repeat_interleave(group, dim=1) for tensor in (key, value))
    logits = query.float() @ key.mT * scale
    total = logits.logsumexp(dim=3)
    if sinks is not None:
        total = torch.logaddexp(total, of_sinks(sinks, query.dtype)[None, :, None])
    out = (torch.exp(logits - total.unsqueeze(3)) @ value).to(query.dtype)
    return (out, lse(total, query.dtype)) if return_lse else out


def rounded(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Rounded to a dtype, and kept in its own."""
    return tensor.to(dtype).float()


def kept(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """As it is."""
    return tensor


STORED = Numerics(stored_lse="input")
MISTAKES: dict[str, Callable[[Tensor, torch.dtype], Tensor]] = {
    "in base 2": lambda lse, dtype: rounded(lse / math.log(2), dtype),
    "truncated": lambda lse, dtype: rounded(lse * (1 - 2 * torch.finfo(dtype).eps), dtype),
    "one row": lambda lse, dtype: rounded(lse + 0.05 * (torch.arange(lse.shape[2]) == 5), dtype),
    "rounded twice as much": lambda lse, dtype: rounded(lse / 2, torch.float8_e5m2) * 2,
}


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("recipe", ["", "negative-", "large-"])
class TestStoredLse:
    """The LSE is rounded to the dtype of the inputs before it is returned."""

    def test_declared_it_is_green(self, dtype: str, recipe: str) -> None:
        found = record(declared(STORED, rounded), LSE.format(dtype=dtype, recipe=recipe))
        assert found.findings == ()
        assert found.figures["lse_share"] > 0.5

    def test_undeclared_it_is_red(self, dtype: str, recipe: str) -> None:
        assert what(declared(Numerics(), rounded), LSE.format(dtype=dtype, recipe=recipe)) == {"lse"}


@pytest.mark.parametrize("mistake", [*MISTAKES])
def test_a_wrong_lse_is_red_though_it_is_declared_to_be_stored(mistake: str) -> None:
    case = LSE.format(dtype="bfloat16", recipe="")
    assert what(declared(STORED, MISTAKES[mistake]), case) == {"lse"}


def test_an_output_is_judged_as_before_where_the_lse_is_stored() -> None:
    case = LSE.format(dtype="bfloat16", recipe="")
    own, plain = (record(declared(each, kept), case).figures for each in (STORED, Numerics()))
    assert {name: own[name] for name in own if "lse" not in name} == {
        name: plain[name] for name in plain if "lse" not in name
    }


ROUNDED_SINKS = Numerics(sinks="input")


@pytest.mark.parametrize("dtype", HALF)
class TestSinks:
    """The logits of sinks are rounded to the dtype of the inputs."""

    def test_declared_they_are_green(self, dtype: str) -> None:
        assert what(declared(ROUNDED_SINKS, kept, of_sinks=rounded), SINKS.format(dtype=dtype)) == set()

    def test_undeclared_they_are_red(self, dtype: str) -> None:
        assert "lse" in what(declared(Numerics(), kept, of_sinks=rounded), SINKS.format(dtype=dtype))

    @pytest.mark.parametrize("factor", [0.5, -1.0, 3.0])
    def test_other_sinks_are_red_under_it(self, dtype: str, factor: float) -> None:
        def other(sinks: Tensor, dtype: torch.dtype) -> Tensor:
            # As far off as rounding is, times the factor, and of its own sign where that is 1.
            return sinks + factor * (rounded(sinks, dtype) - sinks) + 1.5 * torch.finfo(dtype).eps * sinks.abs()

        kernel = declared(ROUNDED_SINKS, kept, of_sinks=other)
        assert "lse" in what(kernel, SINKS.format(dtype=dtype))


def test_sinks_that_are_exact_in_the_dtype_of_the_inputs_change_no_budget() -> None:
    case = Case.parse(LSE.format(dtype="bfloat16", recipe=""))
    own, plain = (record(declared(each, kept), case.id).figures for each in (ROUNDED_SINKS, Numerics()))
    assert own == plain


def shifted(mistake: float = 0.0) -> Callable[..., Tensor]:
    """Attention whose logits are rounded, less their maximum, to the dtype of the inputs; those of the first key are
    off by `mistake` beside."""

    def run(query: Tensor, key: Tensor, value: Tensor, *, scale: float, sinks: Tensor | None) -> Tensor:
        group = query.shape[1] // key.shape[1]
        key, value = (tensor.float().repeat_interleave(group, dim=1) for tensor in (key, value))
        logits = query.float() @ key.mT * scale
        logits[..., 0] += mistake
        if sinks is not None:
            logits = torch.cat([logits, sinks[None, :, None, None].expand(*logits.shape[:3], 1)], dim=3)
        logits = rounded(logits - logits.amax(dim=3, keepdim=True), query.dtype)
        return (torch.softmax(logits, dim=3)[..., : key.shape[2]] @ value).to(query.dtype)

    return run


SHIFTED = Numerics(shifted_logits="input", probabilities="float32", normalized=True)
SHIFTED_CASES = [
    "b1-h1-s509-d128-bfloat16-out-exact",
    "b1-h2-s64x1025-d64-float16-sinks-out-exact",
    "b1-h2-s64x257-d64-bfloat16-growing-out-exact",
]


def of_shifted(numerics: Numerics, mistake: float = 0.0) -> Kernel:
    """That attention as a kernel."""
    return pytest_attn.kernel(name="shifted", numerics=numerics, gqa=True, sinks=True)(shifted(mistake))


@pytest.mark.parametrize("case", SHIFTED_CASES)
class TestShiftedLogits:
    """Logits are rounded once more when the maximum of their row has been taken from them."""

    def test_declared_they_are_green(self, case: str) -> None:
        found = record(of_shifted(SHIFTED), case)
        assert found.findings == ()
        assert found.figures["out_rms"] > 0.5

    def test_undeclared_they_are_red(self, case: str) -> None:
        assert "out_rms" in what(of_shifted(Numerics(probabilities="float32", normalized=True)), case)


def test_a_logit_that_is_off_is_red_though_it_is_declared_to_be_rounded() -> None:
    assert what(of_shifted(SHIFTED, 0.2), SHIFTED_CASES[0])
