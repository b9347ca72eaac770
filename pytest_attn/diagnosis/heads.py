"""Heads: which key and value head each query head reads, and how many columns of them the logits are made of."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.diagnosis.diagnosis import Diagnosis
from pytest_attn.diagnosis.evidence import Evidence
from pytest_attn.diagnosis.model import Model
from pytest_attn.oracles.reference import Reference


def head_mapping(evidence: Evidence) -> Diagnosis | None:
    """Query heads that read other key or value heads than their own, where that accounts for the whole error."""
    problem = evidence.problem
    sources = problem.batch * problem.key_heads
    if problem.batch * problem.query_heads == 1:
        return None
    own = (
        torch.arange(problem.batch).unsqueeze(1) * problem.key_heads
        + torch.arange(problem.query_heads) // problem.group
    )
    values = _value_sources(evidence, own) if sources > 1 else own
    if values is None:
        return None
    # Keys come from the head that the values come from, or from the right one, or from any.
    for keys in (values, own, _key_sources(evidence, own)):
        if keys is None or (torch.equal(keys, own) and torch.equal(values, own)):
            continue
        taken = replace(
            evidence.model, key=_gathered(evidence, "key", keys), value=_gathered(evidence, "value", values)
        )
        if evidence.explained_by(taken.reference()):
            break
    else:
        return None
    said = [_said(problem.key_heads, own, found, kind) for found, kind in ((keys, "key"), (values, "value"))]
    if torch.equal(keys, values):
        said = said[:1]
    return Diagnosis("head mapping", "; ".join(word for word in said if word))


def _gathered(evidence: Evidence, which: str, sources: Tensor) -> Tensor:
    tensor: Tensor = getattr(evidence.inputs, which).to("cpu", evidence.problem.oracle_dtype)
    return tensor.flatten(0, 1)[sources.flatten()].view(*sources.shape, *tensor.shape[2:])


def _said(key_heads: int, own: Tensor, found: Tensor, kind: str) -> str:
    wrong = (found != own).nonzero()
    if not len(wrong):
        return ""
    batch, head = wrong[0].tolist()
    source, expected = int(found[batch, head]), int(own[batch, head])
    other = f" of batch {source // key_heads}" if source // key_heads != batch else ""
    more = f" ({len(wrong)} of {own.numel()} query heads are wrong)" if own.numel() > 1 else ""
    where = f"batch {batch}, " if len(own) > 1 else ""
    return (
        f"{where}query head {head} reads {kind} head {source % key_heads}{other}, expected {expected % key_heads}{more}"
    )


def _value_sources(evidence: Evidence, own: Tensor) -> Tensor | None:
    """The (batch, key head) whose values each query head reads, `[B, H]`: values are the number of their head."""
    problem = evidence.problem
    number = torch.arange(1.0, problem.batch * problem.key_heads + 1).view(problem.batch, problem.key_heads, 1, 1)
    out = evidence.output_of_values(number)
    if out is None:
        return None
    read = out[..., 0].nanmedian(dim=2).values
    if bool((read - read.round()).abs().gt(0.2).any()):
        return None
    return (read.round().long() - 1).clamp(0, problem.batch * problem.key_heads - 1)


def _key_sources(evidence: Evidence, own: Tensor) -> Tensor | None:
    """The (batch, key head) whose keys give each query head its weights, or its LSE, `[B, H]`."""
    problem, model = evidence.problem, evidence.model
    sources = problem.batch * problem.key_heads
    if sources == 1 or sources > 64:
        return own
    weights = evidence.weights
    distance = []
    for source in range(sources):
        taken = replace(model, key=_gathered(evidence, "key", torch.full_like(own, source)))
        if weights is not None and weights.width == 1:
            distance.append((weights.actual - taken.weights).abs().sum(dim=(2, 3)))
        elif evidence.lse is not None:
            distance.append((evidence.lse - taken.lse).abs().nan_to_num(0.0).sum(dim=2))
        else:
            return None
    table = torch.stack(distance)
    best = table.argmin(dim=0)
    stays = table.gather(0, own.unsqueeze(0)).squeeze(0) <= table.amin(dim=0) * 1.001
    return torch.where(stays, own, best)


def stored_heads(evidence: Evidence) -> Diagnosis | None:
    """Whole results stored in the place of another head."""
    expected = evidence.model.reference()
    if evidence.out is None or expected.out is None or evidence.out_is_right:
        return None
    found, right = evidence.out.flatten(0, 1), expected.out.flatten(0, 1)
    if len(right) > 64:
        return None
    distance = (found.unsqueeze(1) - right.unsqueeze(0)).abs().nan_to_num(1e30).sum(dim=(2, 3))
    best = distance.argmin(dim=1)
    if bool((best == torch.arange(len(best))).all()):
        return None
    stored = _reordered(expected, best)
    for guess in (stored, replace(stored, lse=expected.lse)):
        if evidence.explained_by(guess):
            place, count = int((best != torch.arange(len(best))).nonzero()[0]), expected.lse.shape[1]
            phrase = f"out of head {place % count} is that of head {int(best[place]) % count}"
            return Diagnosis("head mapping", phrase)
    return None


def _reordered(reference: Reference, order: Tensor) -> Reference:
    """Batches and heads, counted together, in another order."""
    moved = {name: tensor.flatten(0, 1)[order].view(tensor.shape) for name, tensor in reference.tensors().items()}
    return Reference.of_tensors("hypothesis", moved)


def logit_columns(evidence: Evidence) -> Diagnosis | None:
    """Logits that leave out the last columns of query and key."""
    model, dim = evidence.model, evidence.problem.head_dim
    for read in sorted(
        {16, 32, 64, 128, 1 << (dim.bit_length() - 1), dim // 64 * 64, dim // 32 * 32, dim - 1, dim // 2}
    ):
        if not 0 < read < dim:
            continue
        fewer = Model(model.query[..., :read], model.key[..., :read], model.value, model.scale, model.allowed)
        scales = {model.scale, read**-0.5}
        for scale in scales:
            if evidence.explained_by(replace(fewer, scale=scale).reference()):
                return Diagnosis("head dim", f"the logits are products of the first {read} columns only, of {dim}")
    return None
