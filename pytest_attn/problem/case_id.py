"""The id of a case: how it is spelled, and how it is read back."""

from __future__ import annotations

import re
from typing import Any, get_args

from pytest_attn.problem.case import Case
from pytest_attn.problem.frame import FrameWidths
from pytest_attn.problem.spelling import NUMBER, number_from_id, number_to_id, percent_to_id
from pytest_attn.problem.variants.registry import variant_of_token
from pytest_attn.problem.vocabulary import EXAMPLE_ID, Ask, Layout, OracleName, Recipe


def _words(literal: Any, usual: str = "") -> str:
    return "|".join(word for word in get_args(literal) if word != usual)


_ID = re.compile(
    r"b(?P<b>\d+)-h(?P<h>\d+)(?:-kv(?P<kv>\d+))?-s(?P<s>\d+(?:x\d+)?)-d(?P<d>\d+(?:x\d+)?)"
    rf"-(?P<dtype>[a-z][a-z0-9]*)(?:-scale(?P<scale>{NUMBER}))?(?P<causal>-causal(?P<topleft>-topleft)?)?"
    rf"(?:-sp(?P<sp>{NUMBER})pct)?(?:-bs(?P<bs>\d+x\d+))?(?:-(?P<framed>framed)|-frame(?P<frame>\d+x\d+x\d+x\d+))?"
    rf"(?P<variants>(?:-[a-z0-9]+)*?)(?:-(?P<recipe>{_words(Recipe, 'normal')}))?"
    rf"(?:-(?P<layout>{_words(Layout, 'contiguous')}))?-(?P<ask>{_words(Ask)})-(?P<oracle>{_words(OracleName)})"
)


def spell(case: Case) -> str:
    """The id of a case: only what is not usual is said."""
    parts = [f"b{case.batch}", f"h{case.query_heads}"]
    if case.key_heads != case.query_heads:
        parts.append(f"kv{case.key_heads}")
    same_length = case.query_length == case.key_length
    parts.append(f"s{case.query_length}" + ("" if same_length else f"x{case.key_length}"))
    parts.append(f"d{case.head_dim}" + ("" if case.value_dim == case.head_dim else f"x{case.value_dim}"))
    parts.append(case.dtype)
    if case.scale is not None:
        parts.append("scale" + number_to_id(case.scale))
    if case.causal is not None:
        parts.append("causal" if case.causal == "bottom-right" else "causal-topleft")
    if case.sparsity is not None:
        parts.append(f"sp{percent_to_id(case.sparsity)}pct")
    if case.block_shape is not None:
        parts.append("bs{}x{}".format(*case.block_shape))
    if case.frame is not None:
        parts.append(_spell_frame(case, case.frame))
    parts += [variant.token for variant in case.variants]
    if case.recipe != "normal":
        parts.append(case.recipe)
    if case.layout != "contiguous":
        parts.append(case.layout)
    return "-".join([*parts, case.ask, case.oracle])


def _spell_frame(case: Case, frame: FrameWidths) -> str:
    try:
        if case.block_shape is not None and FrameWidths.small(case.block_shape) == frame:
            return "framed"
    except ValueError:
        pass
    return "frame" + "x".join(map(str, frame.as_tuple))


def parse(text: str) -> Case:
    """The case of an id. Raises ValueError with one sentence where `text` is not the id of a case."""
    match = _ID.fullmatch(text)
    if match is None:
        raise ValueError(
            f"case id {text!r} does not parse; allowed: ids like {EXAMPLE_ID!r} "
            "(python -m pytest_attn list --ids prints them)"
        )
    try:
        case = Case(**_fields(match.groupdict()))
    except ValueError as error:
        raise ValueError(f"case id {text!r}: {error}") from None
    if case.id != text:
        raise ValueError(f"case id {text!r} is not in its one spelling; allowed: {case.id!r}")
    return case


def _fields(found: dict[str, Any]) -> dict[str, Any]:
    length, key_length = _pair(found["s"])
    head_dim, value_dim = _pair(found["d"])
    block_shape = _pair(found["bs"]) if found["bs"] else None
    frame = FrameWidths.small(block_shape) if found["framed"] and block_shape else None
    if found["frame"]:
        frame = FrameWidths(*map(int, found["frame"].split("x")))
    return {
        "batch": int(found["b"]),
        "query_heads": int(found["h"]),
        "key_heads": int(found["kv"] or found["h"]),
        "query_length": length,
        "key_length": key_length,
        "head_dim": head_dim,
        "value_dim": value_dim,
        "dtype": found["dtype"],
        "scale": number_from_id(found["scale"]) if found["scale"] else None,
        "causal": None if not found["causal"] else "top-left" if found["topleft"] else "bottom-right",
        "sparsity": number_from_id(found["sp"]) / 100 if found["sp"] else None,
        "block_shape": block_shape,
        "frame": frame,
        "variants": tuple(variant_of_token(token) for token in found["variants"].split("-") if token),
        "recipe": found["recipe"] or "normal",
        "layout": found["layout"] or "contiguous",
        "ask": found["ask"],
        "oracle": found["oracle"],
    }


def _pair(text: str) -> tuple[int, int]:
    first, _, second = text.partition("x")
    return int(first), int(second or first)
