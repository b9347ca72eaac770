"""The options about speed, of the one list."""

from __future__ import annotations

from pytest_attn.options import python_values
from pytest_attn.options.defaults import INCONCLUSIVE_RUNS, SLOWDOWN
from pytest_attn.options.option import Option
from pytest_attn.options.values import parse_slowdown, read_gate, read_inconclusive, read_text

SPEED = (
    Option(
        "gate",
        "MODE",
        "compare measured times with the baseline of this machine: report says what became of each; strict also fails "
        "every test that is slower, suspicious, gone or foreign, or inconclusive too often, and a run that measured "
        "nothing; off",
        read_gate,
        "report with --benchmark-compare, else off",
        spell=python_values.spell_text,
    ),
    Option(
        "slowdown",
        "PERCENT",
        "the slowdown that matters, decimals allowed; one test's own: @pytest.mark.attn_slowdown('10%')",
        lambda texts: parse_slowdown(texts[-1]),
        f"{SLOWDOWN:.0%}",
        spell=python_values.spell_slowdown,
    ),
    Option(
        "inconclusive",
        "N",
        "a strict gate fails a benchmark that is inconclusive in so many runs in a row; 1: at once",
        read_inconclusive,
        str(INCONCLUSIVE_RUNS),
        spell=python_values.spell_seed,
    ),
    Option(
        "baselines",
        "DIR",
        "folder of baselines, one folder per machine in it",
        read_text,
        "baselines",
        spell=python_values.spell_path,
    ),
)
