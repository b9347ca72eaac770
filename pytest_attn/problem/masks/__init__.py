"""Masks: which query may attend to which key. Semantics only; one mask per file."""

from pytest_attn.problem.masks.block_sparse import BlockSparse
from pytest_attn.problem.masks.causal import Causal
from pytest_attn.problem.masks.dense import Dense
from pytest_attn.problem.masks.mask import Lengths, Mask, Span
from pytest_attn.problem.masks.visible import seeing_queries, visible_keys

__all__ = ["BlockSparse", "Causal", "Dense", "Lengths", "Mask", "Span", "seeing_queries", "visible_keys"]
