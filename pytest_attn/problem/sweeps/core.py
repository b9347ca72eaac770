"""Every kind of attention that kernels are written for: each with all else, together, and as models use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from pytest_attn.problem.case import Case
from pytest_attn.problem.design import Axes, Covered, Design, Part
from pytest_attn.problem.dtypes import data_types
from pytest_attn.problem.sweep import Groups, register
from pytest_attn.problem.sweeps.axes import case_of, crossed_axes, of_sizes, small_case_of
from pytest_attn.problem.sweeps.boundary import FEWEST, crossed
from pytest_attn.problem.turns import InTurn
from pytest_attn.problem.variants import Alibi, Bias, KeyLengths, NumSplits, Packed, Paged, Sinks, Softcap, WindowSize
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.problem.vocabulary import DTYPES

WINDOWS = (
    *(WindowSize(64, 0), WindowSize(0, 0), WindowSize(127, 64), WindowSize(None, 16), WindowSize(16, None)),
    *(WindowSize(33, 17), WindowSize(500, 500), WindowSize(3, 0)),
)
BIASES = tuple(Bias(batch, head, wide) for wide, batch, head in product((False, True), repeat=3))
VARIANTS: Mapping[str, tuple[tuple[Variant, ...], ...]] = {
    "window": tuple((window,) for window in WINDOWS),
    "key_lengths": ((KeyLengths(),),),
    "packed": ((Packed(),),),
    "paged": ((Paged(16),), (Paged(64),), (Paged(1),), (Paged(256),)),
    "softcap": ((Softcap(30.0),), (Softcap(50.0),), (Softcap(2.0),)),
    "alibi": ((Alibi(),),),
    "bias": tuple((bias,) for bias in BIASES),
    "sinks": ((Sinks(),),),
    "splits": ((NumSplits(3),), (NumSplits(1),), (NumSplits(2),), (NumSplits(7),)),
}
"""For each variant the forms that it takes in turn."""

PAIRED: tuple[tuple[Variant, ...], ...] = (
    *((KeyLengths(), WindowSize(40, 0)), (Packed(), WindowSize(33, 7)), (Paged(16), WindowSize(40, 0))),
    *((KeyLengths(), Softcap(30.0)), (Paged(16), Alibi()), (Packed(), Sinks()), (Paged(64), Sinks())),
    *((KeyLengths(), Bias(per_head=True)), (Packed(), Alibi()), (Packed(), Softcap(20.0)), (Paged(16), Softcap(20.0))),
)
"""Batches of unequal lengths with what ends, or starts, where these do."""

TOGETHER: Axes = {
    "lengths": ((1, 129), (4, 65), (65, 65), (128, 128), (129, 257), (257, 129), (300, 100)),
    "heads": ((2, 2), (3, 1), (8, 2), (7, 1), (8, 1)),
    "dims": ((64, 64), (80, 80), (128, 128), (192, 128)),
    "batch": (1, 3),
    "causal": (None, "bottom-right"),
    "block_shape": (None, (32, 64)),
    "window": (None, WindowSize(40, 0), WindowSize(33, 7)),
    "storage": (None, KeyLengths(), Packed(), Paged(16)),
    "softcap": (None, Softcap(20.0)),
    "alibi": (None, Alibi()),
    "bias": (None, Bias(per_head=True)),
    "sinks": (None, Sinks()),
    "ask": ("both", "out"),
}

TRIPLES = 0.85
"""Share of the triples with a variant that cells have."""

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


@register(
    "core", "every kind of attention: windows, padding, capped logits, biases, sinks; all pairs, and as models do"
)
def core() -> Groups:
    """Each variant with every value of the axes of `boundary`, all together, and those of real models."""
    forms = {**VARIANTS, "paired": PAIRED}
    named = {frozenset(form): name for name, several in forms.items() for form in several}
    axes = {
        **crossed_axes(),
        "batch": (2, 1, 6),
        "variants": tuple(InTurn(*several) for several in forms.values()),
    }
    crossed_variants = Design(
        axes,
        small_case_of,
        (Covered(3, 0.96, without="variants"), Covered(3, TRIPLES, beside="variants")),
        beside=crossed(),
        fewest=FEWEST,
        of_sizes=of_sizes,
    )

    def of(name: str) -> Part:
        return Part(crossed_variants, lambda case: named[frozenset(case.variants)] == name)

    together = {**TOGETHER, "dtype": tuple(data_types())}
    return {
        **{f"core_{name}": (of(name),) for name in forms},
        "core_together": (Design(together, _together, of_sizes=of_sizes),),
        "core_models": tuple(dict.fromkeys(_models())),
    }


def _together(block_shape: tuple[int, int] | None, **fields: Any) -> Case | None:
    names = ("window", "storage", "softcap", "alibi", "bias", "sinks")
    chosen = tuple(variant for name in names if (variant := fields.pop(name)) is not None)
    if block_shape:
        fields |= {"block_shape": block_shape, "sparsity": 0.3}
    return case_of(variants=chosen, **fields)


def _models() -> Iterator[Case]:
    for number, model in enumerate(MODELS.values()):
        for turn, served in enumerate(SERVED.values()):
            fields = {**model, **served, "dtype": DTYPES[(number + turn) % len(DTYPES)]}
            fields["variants"] = (*model.get("variants", ()), *served.get("variants", ()))
            dims = (fields.pop("head_dim"), fields.pop("value_dim", model["head_dim"]))
            case = case_of(dims=dims, **fields)
            if case is not None:
                yield case
