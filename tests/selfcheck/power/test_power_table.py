"""The table of what each judge sees."""

from __future__ import annotations

from pytest_attn.report.power_table import Power, Seen, power_table

POWER = Power(
    case="b1-h1-s20x24000-d128-bfloat16-both-exact",
    dtype="bfloat16",
    heads=1,
    queries=20,
    keys=24000,
    pairs=480000,
    seed=7,
    judges=("derived", "bsa"),
    rows=(
        Seen("keys dropped", "keys", 12000, {"derived": 1, "bsa": 2422}),
        Seen("lse shifted by", "share", 16, {"derived": 1.8e-05, "bsa": None}),
        Seen("one block dropped", "once", 1, {"derived": 1, "bsa": None}),
    ),
)

TABLE = """\
b1-h1-s20x24000-d128-bfloat16-both-exact: bfloat16, 1 head, queries 20, keys 24000, pairs 480000, seed 7
  least defect seen  largest tried  derived    bsa
  clean kernel                        green  green
  keys dropped               12000        1   2422
  lse shifted by                16  1.8e-05  never
  one block dropped                    seen  never
"""

RED = """\
b1-h1-s20x24000-d128-bfloat16-both-exact: bfloat16, 1 head, queries 20, keys 24000, pairs 480000, seed 7
  least defect seen  largest tried  derived                   bsa
  clean kernel                        green  red without a defect
  keys dropped               12000        1                     -
  bsa is red without a defect: out: error 0.1
  left out: one block dropped: there is one key
"""


def test_a_line_per_defect_and_a_column_per_judge() -> None:
    assert power_table(POWER) == TABLE


def test_a_judge_that_is_red_without_a_defect_and_a_defect_left_out_say_why() -> None:
    row = Seen("keys dropped", "keys", 12000, {"derived": 1})
    power = Power(
        **{name: getattr(POWER, name) for name in ("case", "dtype", "heads", "queries", "keys", "pairs", "seed")},
        judges=POWER.judges,
        rows=(row,),
        red={"bsa": "out: error 0.1"},
        left_out={"one block dropped": "there is one key"},
    )
    assert power_table(power) == RED
