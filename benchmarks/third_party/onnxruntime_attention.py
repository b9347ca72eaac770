"""ONNX Runtime on its CPU provider: the contrib operation MultiHeadAttention, and Attention of ONNX opset 23.

`multi_head` hands causal masks over as they are asked for: with more keys than queries, and no past,
`unidirectional` is neither bottom-right nor top-left, and its cells are red. `multi_head_square` refuses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from refusals import TOP_LEFT_CAUSAL, WIDE_BIAS, absent
from torch import Tensor

import pytest_attn
from pytest_attn import EmptyRows, Numerics

LIBRARIES = ("onnxruntime", "onnx")


@cache
def session(operator: str, domain: str, names: tuple[str, ...], dtype: str, **attributes: Any) -> Any:
    """A session of a model of one operation; `names` are its inputs, empty where it has none."""
    import onnx
    import onnxruntime
    from onnx import helper

    kind = getattr(onnx.TensorProto, dtype)
    kinds = {name: onnx.TensorProto.INT32 if name == "lengths" else kind for name in names if name}
    node = helper.make_node(operator, list(names), ["out"], domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        operator,
        [helper.make_tensor_value_info(name, kinds[name], None) for name in kinds],
        [helper.make_tensor_value_info("out", kind, None)],
    )
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def run(found: Any, names: Sequence[str], tensors: Sequence[Tensor | None]) -> Tensor:
    """What a session makes of these tensors."""
    given = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True) if tensor is not None}
    return torch.from_numpy(found.run(["out"], given)[0])


MULTI_HEAD: dict[str, Any] = {
    "devices": ("cpu",),
    "dtypes": ("float32",),
    "causal": True,
    "value_dim": True,
    "attn_bias": True,
    "seqused_k": True,
    "numerics": Numerics(normalized=True),
    "empty_rows": EmptyRows(out="any"),
}


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool,
    attn_bias: Tensor | None,
    seqused_k: Tensor | None,
) -> Tensor:
    """com.microsoft.MultiHeadAttention."""
    batch, heads, queries, _ = query.shape
    flat = [tensor.transpose(1, 2).flatten(2).contiguous() for tensor in (query, key, value)]
    tensors = [*flat, None, seqused_k, attn_bias]
    names = ["query", "key", "value", "", "" if seqused_k is None else "lengths", "" if attn_bias is None else "bias"]
    attributes = {"num_heads": heads, "scale": scale, "unidirectional": int(causal)}
    found = session("MultiHeadAttention", "com.microsoft", tuple(names), "FLOAT", **attributes)
    return run(found, names, tensors).view(batch, queries, heads, -1).transpose(1, 2).contiguous()


multi_head = pytest_attn.kernel(name="onnxruntime-mha", refuses=absent(*LIBRARIES), **MULTI_HEAD)(attend)

multi_head_square = pytest_attn.kernel(
    name="onnxruntime-mha-square", refuses={**absent(*LIBRARIES), **TOP_LEFT_CAUSAL}, **MULTI_HEAD
)(attend)


@pytest_attn.kernel(
    name="onnx-attention-23",
    devices=("cpu",),
    dtypes=("float32", "float16"),
    causal=True,
    causal_top_left=True,
    gqa=True,
    value_dim=True,
    softcap=True,
    attn_bias=True,
    numerics={"float32": Numerics(normalized=True), "float16": Numerics.of_scaled_query()},
    empty_rows=EmptyRows(out="any"),
    refuses={**absent(*LIBRARIES), **TOP_LEFT_CAUSAL, **WIDE_BIAS},
)
def attention_23(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    causal: bool,
    causal_top_left: bool,
    softcap: float,
    attn_bias: Tensor | None,
) -> Tensor:
    """Attention-23 of tensors `[B, H, S, D]`."""
    names = ["query", "key", "value", *([] if attn_bias is None else ["bias"])]
    attributes = {"scale": scale, "is_causal": int(causal or causal_top_left), "softcap": softcap}
    dtype = {torch.float32: "FLOAT", torch.float16: "FLOAT16"}[query.dtype]
    found = session("Attention", "", tuple(names), dtype, **attributes)
    return run(found, names, [query, key, value, *([] if attn_bias is None else [attn_bias])])
