"""The words of a case: what its fields may hold, as plain data."""

from __future__ import annotations

from typing import Literal, get_args

from pytest_attn.problem.relations import Relation

Ask = Literal["out", "lse", "both", "grad"]
"""What the kernel is asked for and judged on: the output alone, the log-sum-exp, both from one call, or the gradients
of query, key and value."""

Alignment = Literal["bottom-right", "top-left"]
"""Where the causal diagonal ends: at the last key of the last query, or at the first key of the first query."""

Recipe = Literal[
    "normal",
    "zeros",
    "zeroquery",
    "ones",
    "keycoded",
    "headcoded",
    "columncoded",
    "needle",
    "negative",
    "growing",
    "large",
    "integers",
    "largevalue",
    "onehotgrad",
    "constantcolumn",
    "saturating",
    "cancelling",
    "hugelogit",
    "hugevalue",
]
"""How query, key and value are drawn; `pytest_attn.problem.recipes` says what each makes visible."""

GRADIENT_RECIPES: tuple[Recipe, ...] = ("onehotgrad", "constantcolumn")
"""The recipes that are made for gradients; to a forward pass they are like "normal"."""

GRADIENT_ORACLES = ("exact", "again")
"""What gradients can be compared with."""

ZERO_QUERY: tuple[Recipe, ...] = ("zeros", "zeroquery")
"""The recipes for which closed forms exist: every key has the same weight."""

Layout = Literal["contiguous", "strided", "bsnd"]
"""How query, key and value lie in memory: contiguous, each with an order of its own and gaps between its rows, or as
`[B, S, H, D]` that is seen as `[B, H, S, D]`, which most models hand to their kernels."""

OracleName = Literal["exact", "fias", "loop", "analytic", "again", "sequence", Relation]
"""What the result is compared with: a reference (`pytest_attn.oracles`), the kernel's own second result ("again"),
references of several calls in a row ("sequence"), or a `Relation`."""

FIXED_FORM: tuple[OracleName, ...] = ("fias", "loop", "analytic")
"""The oracles of softmax(scale q k^T) v, which know no variants."""

DTYPES = ("bfloat16", "float16", "float32")
"""The data types that sweeps vary, and that kernels claim unless they say otherwise."""

WORDS = {
    "causal": (None, *get_args(Alignment)),
    "recipe": get_args(Recipe),
    "layout": get_args(Layout),
    "ask": get_args(Ask),
    "oracle": get_args(OracleName),
}
"""Fields of a case whose values are a closed list, and that list."""

EXAMPLE_ID = "b1-h2-s1024-d128-bfloat16-sp50pct-bs128x512-both-exact"
"""An id that a refusal shows."""
