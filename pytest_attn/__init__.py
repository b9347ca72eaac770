"""pytest-attn: judge an attention kernel, to the last token.

Importing this imports no torch; what needs it is loaded when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_attn.bench.measurement import Measurement
    from pytest_attn.execution.api import check_kernel
    from pytest_attn.kernels.backward_numerics import BackwardNumerics
    from pytest_attn.kernels.capabilities import Capabilities
    from pytest_attn.kernels.gradients import Gradients
    from pytest_attn.kernels.kernel import Kernel, Output, kernel
    from pytest_attn.kernels.numerics import EmptyRows, Numerics
    from pytest_attn.plugin.marks import parametrize
    from pytest_attn.problem.block_mask import BlockMask
    from pytest_attn.problem.case import Case
    from pytest_attn.problem.dtypes import DataType, register_dtype
    from pytest_attn.problem.frame import FrameWidths
    from pytest_attn.problem.inputs import Inputs
    from pytest_attn.problem.problem import Problem
    from pytest_attn.problem.variants.registry import register_variant
    from pytest_attn.problem.variants.variant import Variant
    from pytest_attn.records.record import Record

__all__ = [
    "BackwardNumerics",
    "BlockMask",
    "Capabilities",
    "Case",
    "DataType",
    "EmptyRows",
    "FrameWidths",
    "Gradients",
    "Inputs",
    "Kernel",
    "Measurement",
    "Numerics",
    "Output",
    "Problem",
    "Record",
    "Variant",
    "check_kernel",
    "kernel",
    "parametrize",
    "register_dtype",
    "register_variant",
]

_HOMES = {
    "BackwardNumerics": "kernels.backward_numerics",
    "BlockMask": "problem.block_mask",
    "Capabilities": "kernels.capabilities",
    "Case": "problem.case",
    "DataType": "problem.dtypes",
    "EmptyRows": "kernels.numerics",
    "FrameWidths": "problem.frame",
    "Gradients": "kernels.gradients",
    "Inputs": "problem.inputs",
    "Kernel": "kernels.kernel",
    "Measurement": "bench.measurement",
    "Numerics": "kernels.numerics",
    "Output": "kernels.kernel",
    "Problem": "problem.problem",
    "Record": "records.record",
    "Variant": "problem.variants.variant",
    "check_kernel": "execution.api",
    "kernel": "kernels.kernel",
    "parametrize": "plugin.marks",
    "register_dtype": "problem.dtypes",
    "register_variant": "problem.variants.registry",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
