"""A correct flash kernel in named steps; a mutant overrides one of them.

Tiles are loaded whole and zero-padded beyond the last key, as hardware loads them, so the mask has a tail to hide. The
key tiles of a row are shared out to splits, whose normalised results are merged through their log-sum-exp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.kernels.kernel import Kernel, Output, PreparedRun
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.problem.dtypes import data_types
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import BlockSparse, Causal
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane


@dataclass(eq=False)
class State:
    """The online softmax of one tile of queries: maximum and total `[B, H, rows, 1]`, acc `[B, H, rows, Dv]`."""

    maximum: Tensor
    total: Tensor
    acc: Tensor


class Part(NamedTuple):
    """The normalised result of one split: out `[B, H, rows, Dv]`, lse `[B, H, rows, 1]`, both float32 or float64."""

    out: Tensor
    lse: Tensor


class TileLoop:
    """Flash attention over tiles of queries and keys. Steps, in order: `lanes`, `query_tiles`, `key_tiles`, `splits`,
    `load`, `scores`, `mask`, `update`, `finalize`, `merge`, `store`."""

    query_tile = 128
    key_tile = 64
    split_count = 2

    capabilities = Capabilities(
        lse=True,
        causal=True,
        causal_top_left=True,
        gqa=True,
        block_sparse=True,
        value_dim=True,
        strided=True,
        deterministic=True,
    )

    def prepare(self, problem: Problem, inputs: Inputs) -> PreparedRun:
        """A run of the problem."""
        return lambda: self.run(problem, inputs)

    def allocate(self, problem: Problem, inputs: Inputs) -> Output:
        """Memory for the results; the LSE only where it is asked for."""
        out_shape, lse_shape = problem.stored_shapes
        lse = inputs.query.new_empty(lse_shape, dtype=problem.sum_dtype) if problem.wants_lse else None
        return Output(inputs.query.new_empty(out_shape), lse)

    def run(self, problem: Problem, inputs: Inputs) -> Output:
        """The whole kernel."""
        output = self.allocate(problem, inputs)
        self.fill(problem, inputs, output)
        return output

    def fill(self, problem: Problem, inputs: Inputs, output: Output) -> None:
        """Compute and write every tile of queries."""
        for lane in self.lanes(problem):
            for rows in self.query_tiles(problem):
                part = self.attend(problem, inputs, lane, rows)
                self.store_out(problem, output.out, lane, rows, part)
                if output.lse is not None:
                    self.store_lse(problem, output.lse, lane, rows, part)

    def attend(self, problem: Problem, inputs: Inputs, lane: Lane, rows: range) -> Part:
        """One tile of queries against all its keys."""
        query = self.load_query(problem, inputs, lane, rows) * self.scale(problem)
        tiles = self.key_tiles(problem, lane, rows)
        parts = [self.split(problem, inputs, lane, rows, query, share) for share in self.splits(tiles)]
        return self.merge(parts)

    def split(
        self, problem: Problem, inputs: Inputs, lane: Lane, rows: range, query: Tensor, tiles: Sequence[range]
    ) -> Part:
        """One tile of queries against the key tiles of one split."""
        state = self.start(query, problem)
        for keys in tiles:
            key, value = self.load_key(problem, inputs, lane, keys), self.load_value(problem, inputs, lane, keys)
            scores = self.logits(problem, inputs, query, key, lane, rows, keys)
            self.update(problem, state, scores, value)
        return self.finalize(problem, state)

    # Which work

    def lanes(self, problem: Problem) -> Iterator[Lane]:
        """All heads at once; one at a time where each has a block list of its own."""
        if not isinstance(problem.mask, BlockSparse):
            yield Lane(slice(0, problem.batch), slice(0, problem.query_heads))
            return
        for batch in range(problem.batch):
            for head in range(problem.query_heads):
                yield Lane(slice(batch, batch + 1), slice(head, head + 1))

    def query_tiles(self, problem: Problem) -> Iterator[range]:
        """Runs of query rows; a tile does not cross a query block."""
        block = problem.mask.block_mask.block_shape[0] if isinstance(problem.mask, BlockSparse) else self.query_tile
        for first in range(0, problem.query_length, block):
            stop = min(first + block, problem.query_length)
            for start in range(first, stop, self.query_tile):
                yield range(start, min(start + self.query_tile, stop))

    def key_tiles(self, problem: Problem, lane: Lane, rows: range) -> list[range]:
        """The key tiles of some rows: up to the diagonal, or those of the kept blocks. The last may reach beyond the
        keys."""
        if not isinstance(problem.mask, BlockSparse):
            return self.tiles_between(0, self.key_stop(problem, rows))
        size, blocks = self.key_block(problem), self.block_list(problem, lane, rows)
        return [tile for block in blocks for tile in self.tiles_between(block * size, (block + 1) * size)]

    def key_stop(self, problem: Problem, rows: range) -> int:
        """One beyond the last key that some of the rows may attend to."""
        if not isinstance(problem.mask, Causal):
            return problem.key_length
        return max(min(problem.key_length, rows.stop + self.diagonal(problem)), 0)

    def key_block(self, problem: Problem) -> int:
        """Keys of a block of the block mask."""
        assert isinstance(problem.mask, BlockSparse)
        return problem.mask.block_mask.block_shape[1]

    def block_row(self, problem: Problem, lane: Lane, rows: range) -> Tensor:
        """bool `[nKV]`: the row of the block mask that some query rows lie in."""
        assert isinstance(problem.mask, BlockSparse)
        block_mask = problem.mask.block_mask
        return block_mask.blocks[lane.batches.start, lane.heads.start, rows.start // block_mask.block_shape[0]]

    def block_list(self, problem: Problem, lane: Lane, rows: range) -> list[int]:
        """The kept key blocks of some rows, ascending."""
        return [int(column) for column in self.block_row(problem, lane, rows).nonzero().flatten()]

    def tiles_between(self, start: int, stop: int) -> list[range]:
        """Key tiles that cover `start` to `stop` - 1."""
        return [range(first, min(first + self.key_tile, stop)) for first in range(start, stop, self.key_tile)]

    def splits(self, tiles: list[range]) -> list[list[range]]:
        """The key tiles of each split; a split may have none."""
        share = -(-len(tiles) // self.split_count)
        return [tiles[share * i : share * (i + 1)] for i in range(self.split_count)]

    # What is read

    def key_heads(self, problem: Problem, lane: Lane) -> Tensor:
        """The key head `[H]` of each query head of a lane."""
        return lane.query_heads // problem.group

    def load_query(self, problem: Problem, inputs: Inputs, lane: Lane, rows: range) -> Tensor:
        """Query rows `[B, H, rows, D]`, float32 or float64."""
        return inputs.query[lane.batches, lane.heads, rows.start : rows.stop].to(problem.sum_dtype)

    def load_key(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
        """A key tile `[B, H, tile, D]`, float32 or float64."""
        return self.load(inputs.key, problem, lane, keys)

    def load_value(self, problem: Problem, inputs: Inputs, lane: Lane, keys: range) -> Tensor:
        """A value tile `[B, H, tile, Dv]`, float32 or float64."""
        return self.load(inputs.value, problem, lane, keys)

    def load(self, tensor: Tensor, problem: Problem, lane: Lane, keys: range) -> Tensor:
        """A whole tile of a key or value tensor, zero beyond the last key."""
        tile = tensor[lane.batches, self.key_heads(problem, lane), keys.start : keys.start + self.key_tile]
        tile = tile.to(problem.sum_dtype)
        missing = self.key_tile - tile.shape[2]
        return torch.nn.functional.pad(tile, (0, 0, 0, missing)) if missing else tile

    # What is computed

    def scale(self, problem: Problem) -> float:
        """What the scores are multiplied with."""
        return problem.scale

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Scaled logits `[B, H, rows, tile]`."""
        return query @ key.mT

    def logits(
        self, problem: Problem, inputs: Inputs, query: Tensor, key: Tensor, lane: Lane, rows: range, keys: range
    ) -> Tensor:
        """The logits of a tile as the softmax takes them: scores with what may not be attended to hidden."""
        return self.mask(problem, self.scores(query, key), lane, rows, keys)

    def diagonal(self, problem: Problem) -> int:
        """The last key of query 0 under a causal mask."""
        assert isinstance(problem.mask, Causal)
        return problem.mask.offset(problem.lengths)

    def mask(self, problem: Problem, scores: Tensor, lane: Lane, rows: range, keys: range) -> Tensor:
        """Logits with what may not be attended to hidden."""
        key = self.positions(range(keys.start, keys.start + self.key_tile))
        hidden = self.beyond(problem, keys, key)
        if isinstance(problem.mask, Causal):
            hidden = hidden | self.later(problem, self.positions(rows).unsqueeze(1), key)
        return scores.masked_fill(hidden, self.hidden_logit())

    def positions(self, tokens: range) -> Tensor:
        """The positions of query or key tokens."""
        return torch.arange(tokens.start, tokens.stop)

    def beyond(self, problem: Problem, keys: range, key: Tensor) -> Tensor:
        """bool `[tile]`: positions of a tile that are no keys of it."""
        return (key >= keys.stop) | (key >= problem.key_length)

    def later(self, problem: Problem, query: Tensor, key: Tensor) -> Tensor:
        """bool `[rows, tile]`: keys that come after a query `[rows, 1]`."""
        return key > query + self.diagonal(problem)

    def hidden_logit(self) -> float:
        """The logit of a key that may not be attended to."""
        return -torch.inf

    def start(self, query: Tensor, problem: Problem) -> State:
        """The state before the first key."""
        column = query.new_zeros((*query.shape[:3], 1))
        return State(column - torch.inf, column.clone(), query.new_zeros((*query.shape[:3], problem.value_dim)))

    def update(self, problem: Problem, state: State, scores: Tensor, value: Tensor) -> None:
        """Take in one tile of scores and values."""
        maximum = torch.maximum(state.maximum, scores.amax(dim=3, keepdim=True))
        shift = self.shift(maximum)
        decay = self.decay(state, shift)
        weights = self.exp(scores - shift)
        state.total = self.rescale_total(state.total, decay) + self.row_sum(weights)
        products = self.product(self.probabilities(problem, weights), value)
        state.acc = self.rescale_acc(state.acc, decay) + products
        state.maximum = maximum

    def shift(self, maximum: Tensor) -> Tensor:
        """What is subtracted from the logits: the maximum; 0 in a row without any key so far, where exp(-inf - 0) is 0
        and exp(-inf + inf) is not a number."""
        return maximum.masked_fill(maximum.isneginf(), 0.0)

    def decay(self, state: State, shift: Tensor) -> Tensor:
        """The factor on what was summed under the old maximum."""
        return self.exp(state.maximum - shift)

    def exp(self, logits: Tensor) -> Tensor:
        """The exponential."""
        return logits.exp()

    def rescale_total(self, total: Tensor, decay: Tensor) -> Tensor:
        """The sum of weights under the new maximum."""
        return total * decay

    def rescale_acc(self, acc: Tensor, decay: Tensor) -> Tensor:
        """The sum of weighted values under the new maximum."""
        return acc * decay

    def row_sum(self, weights: Tensor) -> Tensor:
        """The sum of a tile's weights, `[B, H, rows, 1]`."""
        return weights.sum(dim=3, keepdim=True)

    def probabilities(self, problem: Problem, weights: Tensor) -> Tensor:
        """The weights as the second product takes them: rounded to the input type."""
        return weights.to(problem.dtype).to(problem.sum_dtype)

    def product(self, weights: Tensor, value: Tensor) -> Tensor:
        """Weights times values."""
        return weights @ value

    def finalize(self, problem: Problem, state: State) -> Part:
        """The normalised result of a split; out 0 and lse -inf where it had no key."""
        out = torch.where(state.total > 0, state.acc / state.total, 0.0)
        return Part(out, self.log_sum_exp(state))

    def log_sum_exp(self, state: State) -> Tensor:
        """Natural logarithm of the sum of exponentials."""
        return state.maximum + state.total.log()

    def merge(self, parts: list[Part]) -> Part:
        """The result of all splits, weighted by their sums of exponentials."""
        every = torch.stack([part.lse for part in parts])
        lse = self.merged_lse(every)
        weights = self.merge_weights(every, lse)
        return Part(sum(w * part.out for w, part in zip(weights, parts, strict=True)), lse)

    def merged_lse(self, every: Tensor) -> Tensor:
        """The log-sum-exp of all splits, from that of each `[splits, B, H, rows, 1]`."""
        return every.logsumexp(dim=0)

    def merge_weights(self, every: Tensor, lse: Tensor) -> Tensor:
        """The share of each split in the result; 0 in rows without keys."""
        return (every - self.shift(lse)).exp()

    # What is written

    def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
        """Write the output of one tile of queries."""
        out[lane.batches, lane.heads, rows.start : rows.stop] = part.out.to(out.dtype)

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        """Write the log-sum-exp of one tile of queries."""
        lse[lane.batches, lane.heads, rows.start : rows.stop] = part.lse.squeeze(3)


def tile_loop(implementation: type[TileLoop] = TileLoop) -> Kernel:
    """A fresh kernel of the loop or of a mutant of it: no state is shared with an earlier one."""
    numerics = dict.fromkeys(data_types(), Numerics(split=True))
    return Kernel(implementation.__name__, implementation(), implementation.capabilities, numerics)
