"""The loop of variants with partial results in named steps; a mutant overrides one of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn.kernels.kernel import Output
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.masks import Split
from pytest_attn.problem.problem import Problem
from pytest_attn.selfcheck.mutants.lane import Lane
from pytest_attn.selfcheck.mutants.tile_loop import Part
from pytest_attn.selfcheck.mutants.variant_loop import VariantLoop


class SplitLoop(VariantLoop):
    """Flash attention of every built-in variant, which returns the results of splits of the keys where asked to.

    Steps beside those of the loop of variants, in order: `split_keys`, `split_tiles`, `partial_out`, `partial_lse`,
    `partials`. They are taken where the problem has splits.
    """

    capabilities = replace(
        VariantLoop.capabilities, variants=(*VariantLoop.capabilities.variants, "num_splits"), split_tile=64
    )

    def allocate(self, problem: Problem, inputs: Inputs) -> Output:
        """Memory for the results; partial ones are float32."""
        if not problem.num_splits:
            return super().allocate(problem, inputs)
        out, lse = (inputs.query.new_empty(shape, dtype=torch.float32) for shape in problem.stored_shapes)
        return Output(out, lse)

    def own_output(self, problem: Problem, output: Output, batch: int, queries: range) -> Output:
        """The part of the results that a sequence fills."""
        if not problem.num_splits or output.lse is None:
            return super().own_output(problem, output, batch, queries)
        return Output(output.out[:, batch : batch + 1], output.lse[:, batch : batch + 1])

    def attend(self, problem: Problem, inputs: Inputs, lane: Lane, rows: range) -> Part:
        """One tile of queries against all its keys: the result, or that of each split, one behind the other."""
        if not problem.num_splits:
            return super().attend(problem, inputs, lane, rows)
        query = self.load_query(problem, inputs, lane, rows) * self.scale(problem)
        tiles = self.key_tiles(problem, lane, rows)
        found = []
        for number in range(problem.num_splits):
            own = self.split_tiles(tiles, self.split_keys(problem, number))
            part = self.split(problem, inputs, lane, rows, query, own)
            found.append(Part(self.partial_out(problem, part), self.partial_lse(part)))
        parts = self.partials(found)
        return Part(torch.stack([part.out for part in parts]), torch.stack([part.lse for part in parts]))

    def split_keys(self, problem: Problem, number: int) -> range:
        """The keys of a split."""
        return Split(number, problem.num_splits, self.key_tile).keys(problem.lengths)

    def split_tiles(self, tiles: list[range], keys: range) -> list[range]:
        """The tiles of a split, of all key tiles of some rows."""
        own = (range(max(tile.start, keys.start), min(tile.stop, keys.stop)) for tile in tiles)
        return [tile for tile in own if tile]

    def partial_out(self, problem: Problem, part: Part) -> Tensor:
        """The output of a split as it is returned."""
        return part.out

    def partial_lse(self, part: Part) -> Tensor:
        """The LSE of a split as it is returned."""
        return part.lse

    def partials(self, parts: list[Part]) -> list[Part]:
        """The results of all splits as they are returned."""
        return parts

    def store_out(self, problem: Problem, out: Tensor, lane: Lane, rows: range, part: Part) -> None:
        """Write the output of one tile of queries, of each split where there are some."""
        out[..., lane.batches, lane.heads, rows.start : rows.stop, :] = part.out.to(out.dtype)

    def store_lse(self, problem: Problem, lse: Tensor, lane: Lane, rows: range, part: Part) -> None:
        """Write the LSE of one tile of queries, of each split where there are some."""
        lse[..., lane.batches, lane.heads, rows.start : rows.stop] = part.lse.squeeze(-1)
