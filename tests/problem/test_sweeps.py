"""The published sweeps: how many cells each has, and which cannot exist."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from itertools import product

import pytest

from pytest_attn.problem.case import Case
from pytest_attn.problem.frame import BLOCK_SHAPES
from pytest_attn.problem.pairs import flops
from pytest_attn.problem.sweep import find_sweep, sweep_names
from pytest_attn.problem.variants.registry import variants

GFLOP = 1e9


def unsatisfiable(name: str) -> dict[str, int]:
    """The number of unsatisfiable cells of each group that has some."""
    groups = find_sweep(name).groups
    counts = {group: sum(case.unsatisfiable is not None for case in cases) for group, cases in groups.items()}
    return {group: count for group, count in counts.items() if count}


def cells(group: str) -> dict[tuple[int, int], int]:
    """The number of cells of each (heads, length) of a group of bsa-lse."""
    return Counter((case.query_heads, case.query_length) for case in find_sweep("bsa-lse").groups[group])


@pytest.mark.parametrize(("name", "count"), [("bsa-lse", 1600), ("bsa-attn", 2560), ("bsa-joint", 320)])
def test_a_published_sweep_has_exactly_its_published_cells(name: str, count: int) -> None:
    assert len(list(find_sweep(name))) == count


@pytest.mark.parametrize("name", sweep_names())
def test_the_length_of_a_sweep_is_the_number_of_its_cases(name: str) -> None:
    assert len(find_sweep(name)) == len(list(find_sweep(name)))


@pytest.mark.parametrize("name", sweep_names())
def test_ids_are_unique_within_a_sweep(name: str) -> None:
    counts = Counter(case.id for case in find_sweep(name))
    assert [name for name, count in counts.items() if count > 1] == []


def test_the_groups_of_bsa_lse_have_their_published_sizes() -> None:
    assert {group: len(cases) for group, cases in find_sweep("bsa-lse").groups.items()} == {
        "lse_vs_fias": 448,
        "lse_vs_fias_sparse": 512,
        "lse_vs_fias_sparse_framed": 128,
        "lse_sparse_multihead": 256,
        "lse_zero_input": 160,
        "lse_shape_and_dtype": 48,
        "lse_disabled_returns_empty": 48,
    }


def test_125_cells_of_bsa_lse_are_unsatisfiable() -> None:
    expected = {"lse_vs_fias_sparse": 18, "lse_vs_fias_sparse_framed": 15, "lse_sparse_multihead": 92}
    assert unsatisfiable("bsa-lse") == expected


def test_28_cells_of_bsa_attn_are_unsatisfiable() -> None:
    assert sum(unsatisfiable("bsa-attn").values()) == 28


def test_every_cell_of_bsa_joint_exists() -> None:
    assert unsatisfiable("bsa-joint") == {}


def test_80_gflop_leave_931_satisfiable_cells_of_bsa_lse() -> None:
    costs = [flops(case) for case in find_sweep("bsa-lse") if case.unsatisfiable is None]
    assert sum(cost <= 80 * GFLOP for cost in costs) == 931


def test_a_cell_of_24000_tokens_and_one_head_costs_its_closed_form() -> None:
    assert flops(Case(24000, 24000)) == 2 * 256 * 24000**2


@pytest.mark.parametrize("name", ["bsa-lse", "bsa-attn", "bsa-joint"])
def test_every_published_cell_comes_at_all_16_block_shapes(name: str) -> None:
    counts = Counter(case.block_shape for case in find_sweep(name))
    assert counts == dict.fromkeys(BLOCK_SHAPES, len(find_sweep(name)) // 16)


def test_the_shapes_of_the_dense_cells_are_the_published_ones() -> None:
    shapes = "1x1024 2x1024 4x2048 4x4096 8x4096 2x8192 4x8192 2x12288 4x12288 2x16384 4x16384 1x24000 2x24000 4x24000"
    heads_and_lengths = [tuple(map(int, shape.split("x"))) for shape in shapes.split()]
    assert cells("lse_vs_fias") == dict.fromkeys(heads_and_lengths, 2 * 16)


def test_the_shapes_of_the_sparse_cells_are_the_published_ones() -> None:
    lengths = [1024, 2048, 4096, 8192, 12288, 16384, 20480, 24000]
    assert cells("lse_vs_fias_sparse") == {(1, length): 4 * 16 for length in lengths}


def test_bsa_attn_is_heads_by_lengths_by_sparsities_by_frames() -> None:
    cases = find_sweep("bsa-attn")
    grid = Counter((c.query_heads, c.query_length, c.sparsity, c.frame is None) for c in cases)
    sparsities = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    expected = {(h, s, sp, bare) for h in (1, 2, 3, 4) for s in (24000, 36000) for sp in sparsities for bare in (0, 1)}
    assert grid == dict.fromkeys(expected, 16)


def test_the_lse_sweep_asks_each_oracle_that_the_publication_does() -> None:
    oracles = {group: {(c.ask, c.oracle) for c in cases} for group, cases in find_sweep("bsa-lse").groups.items()}
    assert oracles == {
        "lse_vs_fias": {("lse", "fias")},
        "lse_vs_fias_sparse": {("lse", "fias")},
        "lse_vs_fias_sparse_framed": {("lse", "fias")},
        "lse_sparse_multihead": {("lse", "loop")},
        "lse_zero_input": {("lse", "analytic")},
        "lse_shape_and_dtype": {("lse", "exact")},
        "lse_disabled_returns_empty": {("out", "exact")},
    }


def test_a_cell_of_the_smoke_sweep_costs_at_most_two_gflop() -> None:
    assert max(flops(case) for case in find_sweep("smoke")) <= 2 * GFLOP


def test_every_latency_cell_exists_and_is_judged_on_its_output() -> None:
    cases = list(find_sweep("latency"))
    assert {case.unsatisfiable for case in cases} == {None}
    assert {(case.ask, case.oracle, case.recipe) for case in cases} == {("out", "exact", "normal")}


def test_a_latency_cell_costs_less_than_five_gflop() -> None:
    assert max(flops(case) for case in find_sweep("latency")) < 5 * GFLOP


def test_an_unknown_sweep_names_the_closest_one_first() -> None:
    with pytest.raises(ValueError, match=re.escape("unknown sweep 'bsa-les'; allowed: bsa-lse, ")):
        find_sweep("bsa-les")


def test_building_every_sweep_imports_no_torch() -> None:
    program = (
        "import sys\n"
        "from pytest_attn.problem.sweep import find_sweep, sweep_names\n"
        "ids = [case.id for name in sweep_names() for case in find_sweep(name) if not case.unsatisfiable]\n"
        "assert ids and 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_backward_sweep_asks_for_gradients_alone_in_at_most_330_small_cells() -> None:
    cases = list(find_sweep("backward"))
    assert {case.ask for case in cases} == {"grad"}
    assert len(cases) <= 330
    assert max(flops(case) for case in cases) < 6 * GFLOP


def test_the_backward_sweep_has_every_mask_and_the_recipes_of_gradients() -> None:
    cases = list(find_sweep("backward"))
    assert {case.causal for case in cases} == {None, "bottom-right", "top-left"}
    assert {case.recipe for case in cases} >= {"normal", "onehotgrad", "constantcolumn", "large", "zeroquery", "needle"}
    assert any(case.sparsity for case in cases)
    assert any(case.query_length > case.key_length for case in cases if case.causal)


def test_the_decode_sweep_is_few_queries_against_every_cache_in_at_most_500_cells() -> None:
    cases = list(find_sweep("decode"))
    assert len(cases) <= 500
    lengths = {(case.query_length, case.key_length) for case in cases}
    assert lengths >= set(product((1, 2, 3, 5, 8, 16), (1, 127, 128, 129, 300, 1000, 2100, 4097)))
    assert {query for query, _ in lengths} == {1, 2, 3, 5, 8, 16}
    assert {case.query_heads // case.key_heads for case in cases} == {1, 4, 6, 8}
    assert any(case.key_heads == 1 < case.query_heads for case in cases)
    assert {case.dtype for case in cases} == {"bfloat16", "float16", "float32", "float64"}


def test_the_decode_sweep_has_all_that_models_add_in_every_kind_of_cache() -> None:
    tokens = [{variant.token for variant in case.variants} for case in find_sweep("decode")]
    caches = ("ragged", "paged16", "paged128")
    assert {tuple(cache for cache in caches if cache in found) for found in tokens} == {(), *((c,) for c in caches)}
    for added, cache in product(("softcap30", "sinks", "win127x0"), caches):
        assert any({added, cache} <= found for found in tokens)


@pytest.mark.parametrize("queries", [1, 2, 3, 5, 8, 16])
def test_decoding_crosses_every_variant_with_every_number_of_queries(queries: int) -> None:
    own = [case for case in find_sweep("decode") if case.query_length == queries]
    found = {variant.capability for case in own for variant in case.variants}
    assert found == {name for name, each in variants().items() if "pytest_attn" in each.__module__} - {"cu_seqlens"}


def test_every_form_of_a_bias_is_decoded_beyond_512_keys() -> None:
    cases = [case for case in find_sweep("decode") if case.query_length == 1 and case.key_length > 512]
    forms = {variant.token for case in cases for variant in case.variants if variant.capability == "attn_bias"}
    assert forms >= {"bias1x1", "biasbx1", "bias1xh", "biasbxh"}


def test_every_variant_changes_in_a_sequence_of_decoding() -> None:
    cases = [case for case in find_sweep("decode") if case.oracle == "sequence"]
    assert {variant.capability for case in cases for variant in case.variants} >= {
        *("window_size", "seqused_k", "block_table", "softcap", "alibi_slopes", "attn_bias", "sinks", "num_splits"),
    }
