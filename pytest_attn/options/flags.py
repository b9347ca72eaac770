"""The one list of options: how each is written and explained. Plain data, which every run of pytest loads."""

from __future__ import annotations

from collections.abc import Callable

from pytest_attn.options.defaults import CPU_BUDGET, INCONCLUSIVE_RUNS, SHRINK_SECONDS, SHRUNK_CELLS, SLOWDOWN
from pytest_attn.options.option import Option

OPTIONS = (
    Option(
        "kernel",
        "NAME",
        "kernel to judge: a built-in (eager, sdpa, block_sparse, naive, flash_v1, flash_v2, gqa, mqa, masked, flex, "
        "split_kv_decode, sliding_window, kv_cache_decode), module:attribute, path/to/file.py:attribute, or an entry "
        "point of pytest_attn.kernels; repeatable",
        "block_sparse",
        repeats=True,
    ),
    Option(
        "device",
        "DEVICE",
        "cpu, cuda, cuda:N, npu or npu:N; several with commas are dealt out to xdist workers",
        "cpu",
    ),
    Option(
        "sweep",
        "NAME",
        "run these sweeps only; repeatable, or several with commas",
        "all",
        repeats=True,
    ),
    Option(
        "axis",
        "AXIS=[VALUES]",
        "run the cells with these values only, such as 'dtype=[bfloat16,float16]'; repeatable",
        "all values",
        repeats=True,
    ),
    Option(
        "case",
        "ID",
        "run this case only, in or outside the sweeps (pytest_attn.suite.test_case); repeatable",
        "none",
        repeats=True,
    ),
    Option(
        "seed",
        "SEED",
        "seed of query, key and value",
        "42",
    ),
    Option(
        "budget",
        "GFLOP",
        "skip cases that cost more, or none",
        f"{CPU_BUDGET:g} on a CPU, none elsewhere",
    ),
    Option(
        "tolerance",
        "NAME",
        "derived (from rounding, per element), or the flat tolerance of a published suite: bsa, allclose-1e-2, "
        "flash-attention, pytorch-fudge",
        "derived",
    ),
    Option(
        "cache",
        "DIR",
        "folder for references that later runs share, off, or on: under pytest's cache folder",
        "on",
    ),
    Option(
        "require",
        "WHAT",
        "fail cells that are not here (here) or not claimed (claimed) instead of skipping them; a number: fail the run "
        "where fewer cells were judged; repeatable, or several with commas",
        "1",
        repeats=True,
    ),
    Option(
        "output",
        "DIR",
        "write DIR/attn-run.jsonl, all that the run finds out, a JSON object to a line",
        "nothing is written",
    ),
    Option(
        "shrink",
        "SECONDS",
        f"look so long ({SHRINK_SECONDS} where the flag stands alone) for the smallest case that fails as a failed "
        f"cell does, and print its id; done for the first {SHRUNK_CELLS} failed cells of each process",
        "1 second for the first failed cell of each cause",
        alone=str(SHRINK_SECONDS),
    ),
    Option(
        "overclaim",
        "yes",
        "give the kernel problems that it does not claim, too: to refuse (NotImplementedError, or no such keyword) is "
        "fine, numbers are judged",
        "no",
        alone="yes",
    ),
    Option(
        "gate",
        "MODE",
        "compare measured times with the baseline of this machine: report says what became of each; strict also fails "
        "every test that is slower, suspicious, gone or foreign, or inconclusive too often, and a run that measured "
        "nothing; off",
        "report with --benchmark-compare, else off",
    ),
    Option(
        "slowdown",
        "PERCENT",
        "the slowdown that matters, decimals allowed; one test's own: @pytest.mark.attn_slowdown('10%')",
        f"{SLOWDOWN:.0%}",
    ),
    Option(
        "inconclusive",
        "N",
        "a strict gate fails a benchmark that is inconclusive in so many runs in a row; 1: at once",
        str(INCONCLUSIVE_RUNS),
    ),
    Option(
        "baselines",
        "DIR",
        "folder of baselines, one folder per machine in it",
        "baselines",
    ),
)


def add_options(add: Callable[..., None]) -> None:
    """Declare every flag with an argparse-like `add`."""
    for option in OPTIONS:
        add(
            option.flag,
            action="append" if option.repeats else "store",
            default=None,
            metavar=option.metavar,
            help=f"{option.help} (default: {option.default})".replace("%", "%%"),
            **({"nargs": "?", "const": option.alone} if option.alone else {}),
        )


def options_table() -> str:
    """The options as a Markdown table."""
    rows = [f"| `{o.usage}` | `{o.ini}` | {o.help} | {o.default} |" for o in OPTIONS]
    return "\n".join(["| option | ini | meaning | default |", "|---|---|---|---|", *rows])
