"""The built-in variants of attention, one file and one line each."""

from pytest_attn.problem.variants.alibi_slopes import Alibi
from pytest_attn.problem.variants.attn_bias import Bias
from pytest_attn.problem.variants.block_table import Paged
from pytest_attn.problem.variants.cu_seqlens import Packed
from pytest_attn.problem.variants.num_splits import NumSplits
from pytest_attn.problem.variants.registry import register_variant
from pytest_attn.problem.variants.seqused_k import KeyLengths
from pytest_attn.problem.variants.sinks import Sinks
from pytest_attn.problem.variants.softcap import Softcap
from pytest_attn.problem.variants.window_size import WindowSize

__all__ = ["Alibi", "Bias", "KeyLengths", "NumSplits", "Packed", "Paged", "Sinks", "Softcap", "WindowSize"]

# The order of the tokens in an id, and in which logits are changed.
register_variant(WindowSize)
register_variant(KeyLengths)
register_variant(Packed)
register_variant(Paged)
register_variant(Softcap)
register_variant(Alibi)
register_variant(Bias)
register_variant(Sinks)
register_variant(NumSplits)
