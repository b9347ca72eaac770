"""A flash kernel in C++, compiled when it is first needed, as its author would hand it to pytest-attn."""

from pathlib import Path

from pytest_attn import Numerics
from pytest_attn.kernels.native import (
    Build,
    Compiler,
    Flag,
    Pointer,
    Scale,
    Signature,
    Size,
    Stride,
    Threads,
    native_kernel,
)

TILE = 64
"""Keys of a tile, as in flash.cpp."""

EXP_ERROR = 1e-7
"""Largest relative error of `exponential` in flash.hpp."""

SIZES = ("batch", "query_heads", "key_heads", "query_length", "key_length", "head_dim", "value_dim")

SIGNATURE = Signature(
    {dtype: f"flash_{dtype}" for dtype in ("float32", "bfloat16", "float16")},
    (
        *(Pointer(name) for name in ("query", "key", "value", "out", "lse")),
        *(Size(name) for name in SIZES),
        *(Stride(tensor, dimension) for tensor in ("query", "key", "value") for dimension in (0, 1, 2)),
        Scale(),
        Flag("causal"),
        Threads(),
    ),
)


def numerics(problem):
    """Sums are chains of a tile's keys, of the tiles, or of the columns of a product; all is float32."""
    tiles = -(-problem.key_length // TILE)
    chain = max(TILE, tiles, problem.head_dim)
    return Numerics(probabilities="float32", exp_error=EXP_ERROR, chain=chain, row_chain=max(TILE, tiles))


flash = native_kernel(
    Build(Path(__file__).with_name("flash.cpp"), Compiler.gnu("-O3", "-march=native", "-std=c++17")),
    SIGNATURE,
    name="flash",
    devices=("cpu",),
    lse=True,
    causal=True,
    gqa=True,
    value_dim=True,
    strided=True,
    bsnd=True,
    deterministic=True,
    numerics=numerics,
)
