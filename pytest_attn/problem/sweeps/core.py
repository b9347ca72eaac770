"""Every kind of attention that kernels are written for: pairwise over its own axes, together, and as models use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from pytest_attn.problem.case import Case
from pytest_attn.problem.relations import relation_exists
from pytest_attn.problem.sweep import Groups, register
from pytest_attn.problem.sweeps.boundary import HEAD_AND_VALUE_DIMS, Axes, pairwise
from pytest_attn.problem.variants import Alibi, Bias, KeyLengths, NumSplits, Packed, Paged, Sinks, Softcap, WindowSize
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.problem.vocabulary import DTYPES, OracleName, Recipe

LENGTHS = ((1, 129), (4, 65), (65, 65), (128, 128), (129, 257), (257, 129), (300, 100))
"""(queries, keys): decoding, speculative decoding, a tile and one beside it, more queries than keys and fewer."""

HEADS = ((2, 2), (3, 1), (8, 2), (7, 1), (8, 1))
"""(query heads, key heads): groups of 1, 3, 4, 7 and 8."""

FEW_LENGTHS = ((1, 129), (129, 257), (300, 100))
RECIPES: tuple[Recipe, ...] = ("normal", "needle", "growing", "large", "headcoded")
FIELDS: Axes = {
    "lengths": LENGTHS,
    "heads": HEADS,
    "dims": ((64, 64), (128, 128), (40, 40), (192, 128)),
    "recipe": RECIPES,
    "dtype": DTYPES,
    "batch": (1, 2),
    "causal": (None, "bottom-right"),
    "ask": ("both", "out", "lse"),
}
"""The axes of the groups of one variant."""

LAYOUTS = ("contiguous", "strided")
ALIGNMENTS = (None, "bottom-right", "top-left")
RAGGED = {"batch": (6,), "causal": ALIGNMENTS}
WINDOWS = (
    *(WindowSize(64, 0), WindowSize(0, 0), WindowSize(127, 64), WindowSize(None, 16), WindowSize(16, None)),
    WindowSize(500, 500),
)
VARIANTS: Mapping[str, tuple[Axes, tuple[Variant, ...]]] = {
    "window": ({}, WINDOWS),
    "key_lengths": (RAGGED, (KeyLengths(),)),
    "packed": ({**RAGGED, "layout": LAYOUTS}, (Packed(),)),
    "paged": ({**RAGGED, "layout": LAYOUTS}, (Paged(1), Paged(16), Paged(64), Paged(256))),
    "softcap": ({}, (Softcap(30.0), Softcap(50.0), Softcap(2.0))),
    "alibi": ({}, (Alibi(),)),
    "bias": ({"batch": (2, 3)}, tuple(Bias(b, h, f) for b, h, f in product((False, True), repeat=3))),
    "sinks": ({}, (Sinks(),)),
    "splits": ({"ask": ("both",)}, (NumSplits(3), NumSplits(1), NumSplits(2), NumSplits(7))),
}
"""For each variant the axes that differ, and the values that it takes."""

SPARSE: Axes = {
    **FIELDS,
    "lengths": ((129, 257), (257, 129), (200, 300), (300, 300)),
    "heads": ((1, 1), (2, 2), (4, 2)),
    "causal": ("bottom-right", "top-left"),
    "block_shape": ((64, 64), (16, 32), (128, 32), (96, 80)),
    "sparsity": (0.2, 0.5),
}
TOGETHER: Axes = {
    "lengths": LENGTHS,
    "heads": HEADS,
    "dims": ((64, 64), (80, 80), (192, 128)),
    "dtype": DTYPES,
    "batch": (1, 3),
    "causal": (None, "bottom-right"),
    "block_shape": (None, (32, 64)),
    "window": (None, WindowSize(40, 0), WindowSize(33, 7)),
    "storage": (None, KeyLengths(), Packed(), Paged(16)),
    "softcap": (None, Softcap(20.0)),
    "alibi": (None, Alibi()),
    "bias": (None, Bias(per_head=True)),
    "sinks": (None, Sinks()),
}

MODELS: Mapping[str, dict[str, Any]] = {
    "GPT-2": {"heads": (4, 4), "head_dim": 64, "causal": "bottom-right"},
    "Llama 3": {"heads": (8, 2), "head_dim": 128, "causal": "bottom-right"},
    "Qwen 2": {"heads": (7, 1), "head_dim": 128, "causal": "bottom-right"},
    "Mistral": {"heads": (8, 2), "head_dim": 128, "causal": "bottom-right", "variants": (WindowSize(64, 0),)},
    "Phi-3": {"heads": (4, 4), "head_dim": 96, "causal": "bottom-right", "variants": (WindowSize(47, 0),)},
    "Gemma 2": {"heads": (4, 2), "head_dim": 256, "scale": 0.0625, "causal": "bottom-right"}
    | {"variants": (WindowSize(96, 0), Softcap(50.0))},
    "Grok": {"heads": (6, 1), "head_dim": 128, "causal": "bottom-right", "variants": (Softcap(30.0),)},
    "gpt-oss": {"heads": (8, 1), "head_dim": 64, "causal": "bottom-right", "variants": (WindowSize(127, 0), Sinks())},
    "BLOOM": {"heads": (4, 4), "head_dim": 80, "causal": "bottom-right", "variants": (Alibi(),)},
    "Falcon": {"heads": (7, 1), "head_dim": 64, "causal": "bottom-right", "variants": (Alibi(),)},
    "T5": {"heads": (3, 3), "head_dim": 64, "scale": 1.0, "variants": (Bias(per_head=True),)},
    "capped logits and a bias": {"heads": (4, 2), "head_dim": 64, "variants": (Softcap(2.0), Bias(per_head=True))},
    "ViT": {"heads": (3, 3), "head_dim": 72},
    "ModernBERT": {"heads": (2, 2), "head_dim": 64, "variants": (WindowSize(64, 64),)},
    "DeepSeek": {"heads": (4, 4), "head_dim": 192, "value_dim": 128, "causal": "bottom-right"},
}
"""How models use what there is, at small shapes: what follows their name is one layer of them."""

SERVED: Mapping[str, dict[str, Any]] = {
    "training": {"lengths": (130, 130), "batch": 2, "layout": "bsnd"},
    "padded batch": {"lengths": (129, 129), "batch": 6, "variants": (KeyLengths(),)},
    "packed batch": {"lengths": (129, 129), "batch": 6, "variants": (Packed(),)},
    "decoding": {"lengths": (1, 300), "batch": 6, "variants": (Paged(16),)},
    "speculative decoding": {"lengths": (5, 131), "batch": 4, "variants": (Paged(64),)},
    "chunked prefill": {"lengths": (64, 200), "batch": 3, "variants": (Paged(16),)},
}
"""The shapes and batch forms in which models are trained and served: fields of a case, by name."""

REPEATED: tuple[OracleName, ...] = (
    *("again", "sequence", "lonehead", "summedvalues", "hiddenkeys", "expandedheads", "lastrow", "permutedkeys"),
)


def _case(
    lengths: tuple[int, int], heads: tuple[int, int], dims: tuple[int, int] | None = None, **fields: Any
) -> Case | None:
    fields |= {"query_heads": heads[0], "key_heads": heads[1]}
    if dims:
        fields |= {"head_dim": dims[0], "value_dim": dims[1]}
    try:
        case = Case(*lengths, **fields)
    except ValueError:
        return None
    return None if case.unsatisfiable else case


def _varied(variant: Variant, **fields: Any) -> Case | None:
    return _case(variants=(variant,), **fields)


def _together(block_shape: tuple[int, int] | None, **fields: Any) -> Case | None:
    names = ("window", "storage", "softcap", "alibi", "bias", "sinks")
    chosen = tuple(fields.pop(name) for name in names if fields[name] is not None or fields.pop(name))
    if block_shape:
        fields |= {"block_shape": block_shape, "sparsity": 0.3}
    return _case(variants=chosen, **fields)


def _models() -> Iterator[Case]:
    for number, model in enumerate(MODELS.values()):
        for turn, served in enumerate(SERVED.values()):
            chosen = (*model.get("variants", ()), *served.get("variants", ()))
            case = _case(**{**model, **served, "dtype": DTYPES[(number + turn) % len(DTYPES)], "variants": chosen})
            if case is not None:
                yield case


def _repeated(oracle: OracleName, **fields: Any) -> Case | None:
    case = _varied(**fields)
    if case is None or (oracle not in ("again", "sequence") and not relation_exists(oracle, case)):  # type: ignore[arg-type]
        return None
    return _varied(**fields, oracle=oracle)


@register("core", "every kind of attention: windows, padding, capped logits, biases, sinks; pairwise and as models do")
def core() -> Groups:
    """Each variant alone, all together, of real models, and called again."""
    few = tuple(values[0] for _, values in VARIANTS.values())
    repeated = {**FIELDS, "recipe": ("normal", "growing"), "dims": ((64, 64), (40, 40)), "batch": (3,)}
    full = {**FIELDS, "dtype": ("float64",), "batch": (1,)}
    return {
        "core_heads_and_dims": pairwise(
            {
                **FIELDS,
                "dims": HEAD_AND_VALUE_DIMS,
                "lengths": FEW_LENGTHS,
                "causal": (None, "bottom-right", "top-left"),
            },
            _case,
        ),
        **{
            f"core_{name}": pairwise({**FIELDS, **own, "variant": values}, _varied)
            for name, (own, values) in VARIANTS.items()
        },
        "core_causal_blocks": pairwise(SPARSE, _case),
        "core_together": pairwise(TOGETHER, _together),
        "core_models": tuple(dict.fromkeys(_models())),
        "core_float64": pairwise({**full, "recipe": ("normal", "needle")}, _case)
        + pairwise({**full, "recipe": ("normal",), "ask": ("both",), "variant": few}, _varied),
        "core_again": pairwise({**repeated, "variant": few, "oracle": REPEATED}, _repeated),
    }
