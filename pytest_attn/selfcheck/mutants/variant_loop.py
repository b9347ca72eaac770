"""A correct kernel of the variants of attention in named steps, on the tile loop; a mutant overrides one of them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Causal, Dense, Lengths, parts
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants import Softcap, WindowSize
from pytest_attn.problem.variants.variant import Variant
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import Part, TileLoop

V = TypeVar("V", bound=Variant)

Side = int | None
"""How far a window reaches on one side; None = no limit."""


@dataclass(frozen=True, kw_only=True)
class OneSequence(Problem):
    """The problem of one sequence of a batch: its lengths, and a causal mask or none. `room` is what the tensors have
    room for."""

    room: Lengths


class VariantLoop(TileLoop):
    """Flash attention of every built-in variant, one sequence after the other.

    Steps, in order: `queries`, `keys`, `key_length`, `page_list`, `bias_of`; then, with the problem of one sequence,
    those of the tile loop and beside them `window`, `center`, `key_start`, `capped`, `slopes`, `distance`, `sloped`,
    `bias`, `biased`, `outside`, `sink`, `with_sink`. A step of a variant is taken where the problem has it.
    """

    capabilities = replace(
        TileLoop.capabilities,
        block_sparse=False,
        variants=(
            *("window_size", "seqused_k", "cu_seqlens", "block_table"),
            *("softcap", "alibi_slopes", "attn_bias", "sinks"),
        ),
    )

    def fill(self, problem: Problem, inputs: Inputs, output: Output) -> None:
        """Compute and write the sequences."""
        for batch in range(problem.batch):
            queries, keys = self.queries(problem, inputs, batch), self.keys(problem, inputs, batch)
            own = self.own_problem(problem, Lengths(len(queries), len(keys)))
            given = self.own_inputs(problem, inputs, batch, queries, keys)
            super().fill(own, given, self.own_output(problem, output, batch, queries))

    # Which sequence

    def queries(self, problem: Problem, inputs: Inputs, batch: int) -> range:
        """The query tokens of a sequence: among all of a packed batch, else from 0."""
        ends = inputs.extras.get("cu_seqlens_q")
        return range(problem.query_length) if ends is None else range(int(ends[batch]), int(ends[batch + 1]))

    def keys(self, problem: Problem, inputs: Inputs, batch: int) -> range:
        """The key tokens of a sequence; see `queries`."""
        ends = inputs.extras.get("cu_seqlens_k")
        if ends is not None:
            return range(int(ends[batch]), int(ends[batch + 1]))
        used = inputs.extras.get("seqused_k", inputs.extras.get("cache_seqlens"))
        return range(problem.key_length if used is None else self.key_length(problem, used, batch))

    def key_length(self, problem: Problem, used: Tensor, batch: int) -> int:
        """How many keys a sequence has, of the lengths `[B]` of all."""
        return int(used[batch])

    def own_problem(self, problem: Problem, lengths: Lengths) -> OneSequence:
        """The problem of a sequence of those lengths."""
        same = {item.name: getattr(problem, item.name) for item in fields(problem)}
        causal = next((mask for mask in parts(problem.mask) if isinstance(mask, Causal)), Dense())
        own = {"batch": 1, "query_length": lengths.query, "key_length": lengths.key, "mask": causal}
        return OneSequence(**same | own, room=problem.lengths)

    def own_inputs(self, problem: Problem, inputs: Inputs, batch: int, queries: range, keys: range) -> Inputs:
        """The tensors of a sequence, each `[1, H, S, D]`; what follows its last key may be padding."""
        tensors = (inputs.key, inputs.value)
        if "cu_seqlens_k" in inputs.extras:
            query = tokens(inputs.query, queries)
            key, value = (tokens(tensor, keys) for tensor in tensors)
        elif "block_table" in inputs.extras:
            query, pages = inputs.query[batch : batch + 1], self.page_list(problem, inputs, batch)
            key, value = (tensor[pages].flatten(0, 1).transpose(0, 1)[None] for tensor in tensors)
        else:
            query, key, value = (tensor[batch : batch + 1] for tensor in (inputs.query, *tensors))
        extras = dict(inputs.extras)
        if "attn_bias" in extras:
            extras["attn_bias"] = self.bias_of(extras["attn_bias"], batch)
        return replace(inputs, query=query, key=key, value=value, extras=extras)

    def own_output(self, problem: Problem, output: Output, batch: int, queries: range) -> Output:
        """The part of the results that a sequence fills."""
        if output.out.dim() == 3:
            lse = None if output.lse is None else output.lse[None, :, queries.start : queries.stop]
            return Output(tokens(output.out, queries), lse)
        lse = None if output.lse is None else output.lse[batch : batch + 1]
        return Output(output.out[batch : batch + 1], lse)

    def page_list(self, problem: Problem, inputs: Inputs, batch: int) -> Tensor:
        """The pages of a sequence in their order, int64."""
        return inputs.extras["block_table"][batch].long()

    def bias_of(self, bias: Tensor, batch: int) -> Tensor:
        """The bias `[1, Hq or 1, Sq, Skv]` of a batch."""
        own = batch if len(bias) > 1 else 0
        return bias[own : own + 1]

    # Window

    def variant(self, problem: Problem, kind: type[V]) -> V | None:
        """The variant of that kind that a problem has."""
        return next((variant for variant in problem.variants if isinstance(variant, kind)), None)

    def window(self, problem: Problem, size: WindowSize) -> tuple[Side, Side]:
        """How many keys a query sees to the left and to the right of its own."""
        return size.left, size.right

    def center(self, problem: Problem) -> int:
        """The key of query 0 that a window lies around."""
        return problem.key_length - problem.query_length

    def key_tiles(self, problem: Problem, lane: Lane, rows: range) -> list[range]:
        """The key tiles of some rows, from the window's first key on."""
        return self.tiles_between(self.key_start(problem, rows), self.key_stop(problem, rows))

    def key_start(self, problem: Problem, rows: range) -> int:
        """The first key of the tile that holds the first one in the window of some rows."""
        size = self.variant(problem, WindowSize)
        left = None if size is None else self.window(problem, size)[0]
        return 0 if left is None else max(rows.start + self.center(problem) - left, 0) // self.key_tile * self.key_tile

    def key_stop(self, problem: Problem, rows: range) -> int:
        """One beyond the last key that some of the rows may attend to."""
        stop, size = super().key_stop(problem, rows), self.variant(problem, WindowSize)
        right = None if size is None else self.window(problem, size)[1]
        return stop if right is None else max(min(stop, rows.stop + self.center(problem) + right), 0)

    def mask(self, problem: Problem, scores: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        """Logits with what may not be attended to hidden, what lies outside the window too."""
        masked, size = super().mask(problem, scores, lane, rows, keys), self.variant(problem, WindowSize)
        if size is None:
            return masked
        query, key = self.positions(rows).unsqueeze(1), self.positions(range(keys.start, keys.start + self.key_tile))
        return masked.masked_fill(self.outside(problem, query, key, self.window(problem, size)), self.hidden_logit())

    def outside(self, problem: Problem, query: Tensor, key: Tensor, window: tuple[Side, Side]) -> Tensor:
        """bool `[rows, tile]`: keys that a query `[rows, 1]` has outside its window."""
        left, right = window
        ahead = key - query - self.center(problem)
        hidden = torch.zeros_like(ahead, dtype=torch.bool) if left is None else ahead < -left
        return hidden if right is None else hidden | (ahead > right)

    # Logits

    def logits(
        self, problem: Problem, inputs: Inputs, query: Tensor, key: Tensor, lane: Lane, rows: range, keys: range
    ) -> Tensor:
        """The logits of a tile as the softmax takes them: scores capped, then sloped, then biased, then masked."""
        scores = self.changed(problem, inputs, self.scores(query, key), lane, rows, keys)
        return self.mask(problem, scores, lane, rows, keys)

    def changed(self, problem: Problem, inputs: Inputs, scores: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        """Scores capped, then sloped, then biased."""
        softcap = self.variant(problem, Softcap)
        if softcap is not None:
            scores = self.capped(problem, scores, softcap.cap)
        if "alibi_slopes" in inputs.extras:
            slopes = self.slopes(problem, inputs.extras["alibi_slopes"], lane)
            key = self.positions(range(keys.start, keys.start + self.key_tile))
            scores = self.sloped(scores, slopes, self.distance(problem, self.positions(rows).unsqueeze(1), key))
        if "attn_bias" in inputs.extras:
            scores = self.biased(problem, scores, self.bias(problem, inputs.extras["attn_bias"], lane, rows, keys))
        return scores

    def capped(self, problem: Problem, scores: Tensor, cap: float) -> Tensor:
        """Softcap."""
        return torch.tanh(scores / cap) * cap

    def slopes(self, problem: Problem, slopes: Tensor, lane: Lane) -> Tensor:
        """The slopes `[H, 1, 1]` of the query heads of a lane, of those of all."""
        return slopes[lane.heads, None, None]

    def distance(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        """int `[rows, tile]`: how far a key lies from a query `[rows, 1]`."""
        return (key - query - problem.key_length + problem.query_length).abs()

    def sloped(self, scores: Tensor, slopes: Tensor, distance: Tensor) -> Tensor:
        """ALiBi."""
        return scores - slopes * distance

    def bias(self, problem: Problem, bias: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        """The bias `[1, H or 1, rows, tile]` of a tile, float32; 0 beyond the last key."""
        heads = lane.heads if bias.shape[1] > 1 else slice(None)
        tile = bias[:, heads, rows.start : rows.stop, keys.start : keys.start + self.key_tile].float()
        return torch.nn.functional.pad(tile, (0, self.key_tile - tile.shape[3]))

    def biased(self, problem: Problem, scores: Tensor, bias: Tensor) -> Tensor:
        """Scores with their bias."""
        return scores + bias

    # Sink

    def attend(self, problem: Problem, inputs: Inputs, lane: Lane, rows: range) -> Part:
        """One tile of queries against all its keys and the sink."""
        part = super().attend(problem, inputs, lane, rows)
        if "sinks" not in inputs.extras:
            return part
        return self.with_sink(part, self.sink(problem, inputs.extras["sinks"], lane).expand_as(part.lse))

    def sink(self, problem: Problem, sinks: Tensor, lane: Lane) -> Tensor:
        """The sinks `[H, 1, 1]` of the query heads of a lane, of those of all."""
        return sinks[lane.heads, None, None]

    def with_sink(self, part: Part, sink: Tensor) -> Part:
        """The result with the sink, merged as a split whose values are 0."""
        return self.merge([part, Part(torch.zeros_like(part.out), sink)])


def tokens(packed: Tensor, own: range) -> Tensor:
    """Tokens `[1, H, S, D]` of a packed tensor `[total, H, D]`; a view."""
    return packed[own.start : own.stop].transpose(0, 1)[None]
