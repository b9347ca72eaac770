"""The case on which each mutant of a variant of attention dies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_attn.problem.case import Case
from pytest_attn.problem.variants import Alibi, Bias, KeyLengths, Packed, Paged, Sinks, Softcap, WindowSize
from pytest_attn.problem.variants.variant import Variant


def small(*variants: Variant, **fields: Any) -> Case:
    """65 queries of 4 heads that share 2, 129 keys, causal, float32."""
    shape = {"head_dim": 16, "query_heads": 4, "key_heads": 2, "causal": "bottom-right", "dtype": "float32"}
    return Case(65, 129, **(shape | fields), variants=variants)


WINDOW = small(WindowSize(40, 0))
BOTH_SIDES = small(WindowSize(40, 9), causal=None)
PADDED = small(KeyLengths(), batch=4)
PACKED = small(Packed(), batch=4)
PAGED = small(Paged(16), batch=4)
CAPPED = small(Softcap(2.0))
SLOPED = small(Alibi())
BIASED = small(Bias(per_batch=True, per_head=True), batch=2)
SINKS = small(Sinks())
BACKWARD_WINDOW = replace(WINDOW, query_length=129, ask="grad")
KILLED_ON: dict[str, Case] = {
    "window-one-short-on-the-left": WINDOW,
    "window-one-too-far-on-the-left": WINDOW,
    "window-one-short-on-the-right": BOTH_SIDES,
    "window-one-too-far-on-the-right": BOTH_SIDES,
    "window-ignored": WINDOW,
    "window-only-with-causal": BOTH_SIDES,
    "window-sides-swapped": BOTH_SIDES,
    "window-of-none-to-the-left": small(WindowSize(0, 9), causal=None),
    "window-top-left": WINDOW,
    "window-forgotten-on-last-tile": BOTH_SIDES,
    "window-forgotten-on-first-tile": WINDOW,
    "window-tiles-of-last-row": WINDOW,
    "window-without-causal": small(WindowSize(40, 9)),
    "length-of-first-batch": PADDED,
    "length-one-more": PADDED,
    "length-one-less": PADDED,
    "padding-attended": PADDED,
    "length-of-whole-tiles": PADDED,
    "length-of-whole-pages": PAGED,
    "length-at-least-one": PADDED,
    "diagonal-of-padded-end": PADDED,
    "keys-of-next-sequence": PACKED,
    "last-packed-key-left-out": PACKED,
    "keys-by-query-ends": PACKED,
    "pages-of-first-batch": PAGED,
    "pages-in-order-of-pool": PAGED,
    "page-of-next-tile": PAGED,
    "softcap-forgotten": CAPPED,
    "softcap-after-mask": CAPPED,
    "softcap-twice": CAPPED,
    "softcap-not-multiplied-back": CAPPED,
    "softcap-of-unscaled-logits": CAPPED,
    "softcap-for-scale": CAPPED,
    "softcap-clamps": CAPPED,
    "slope-of-next-head": SLOPED,
    "slope-of-key-head": SLOPED,
    "slopes-in-half-precision": SLOPED,
    "alibi-of-other-sign": SLOPED,
    "alibi-forgotten": SLOPED,
    "alibi-of-signed-distance": small(Alibi(), causal=None),
    "alibi-one-off": SLOPED,
    "alibi-top-left": SLOPED,
    "alibi-of-padded-end": small(KeyLengths(), Alibi(), batch=6),
    "bias-forgotten": BIASED,
    "bias-scaled": BIASED,
    "bias-of-zero-hides": BIASED,
    "bias-before-softcap": small(Softcap(2.0), Bias()),
    "bias-of-first-batch": BIASED,
    "bias-of-first-head": BIASED,
    "bias-in-half-precision": BIASED,
    "bias-transposed": BIASED,
    "bias-one-key-off": BIASED,
    "sink-forgotten": SINKS,
    "sink-in-numerator": SINKS,
    "sink-not-in-lse": SINKS,
    "sink-in-lse-alone": SINKS,
    "sink-only-beside-keys": small(KeyLengths(), Sinks(), batch=3),
    "sink-not-exponentiated": SINKS,
    "sink-scaled": SINKS,
    "sink-in-base-two": SINKS,
    "sink-of-every-split": SINKS,
    "sink-of-next-head": SINKS,
    "sink-of-key-head": SINKS,
    "window-forgotten-backward": BACKWARD_WINDOW,
    "window-one-too-far-backward": BACKWARD_WINDOW,
    "window-tiles-of-last-row-backward": BACKWARD_WINDOW,
    "padding-attended-backward": replace(PADDED, ask="grad"),
    "length-of-first-batch-backward": replace(PADDED, ask="grad"),
    "last-packed-key-left-out-backward": replace(PACKED, batch=6, ask="grad"),
    "last-packed-query-left-out-backward": replace(PACKED, batch=6, ask="grad"),
    "forward-of-padded-place": replace(PACKED, batch=6, ask="grad"),
}
