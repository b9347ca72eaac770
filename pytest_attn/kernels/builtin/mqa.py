"""Multi-query attention (Shazeer, 2019): one key head for all query heads, the grouped one with a single group."""

from __future__ import annotations

from dataclasses import replace

from pytest_attn.kernels.builtin.gqa import gqa

mqa = replace(gqa.claiming(replace(gqa.capabilities, key_heads=(1,))), name="mqa")
"""`gqa` of one key head."""
