"""Options as arguments of a Python function: natural values, or texts as on the command line."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_attn.options.defaults import SHRINK_SECONDS
from pytest_attn.options.flags import OPTIONS
from pytest_attn.options.options import Options, options_of, read_options
from pytest_attn.problem.axes import AxisFilter
from pytest_attn.problem.case import Case
from pytest_attn.problem.variants import WindowSize

CASE = Case(64, 64, head_dim=32, dtype="float32", scale=0.3, variants=(WindowSize(3, 0),), ask="out")
OTHER = Case(128, 64, head_dim=32)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("overclaim", True, True),
        ("overclaim", False, False),
        ("overclaim", "yes", True),
        ("budget", None, math.inf),
        ("budget", "none", math.inf),
        ("budget", math.inf, math.inf),
        ("budget", 80, 80.0),
        ("budget", 0.1, 0.1),
        ("budget", "2.5", 2.5),
        ("seed", 7, 7),
        ("seed", -1, -1),
        ("seed", np.int64(7), 7),
        ("seed", "7", 7),
        ("axis", {"dtype": ["float32"]}, (AxisFilter("dtype", frozenset({"float32"})),)),
        ("axis", {"dtype": "float32"}, (AxisFilter("dtype", frozenset({"float32"})),)),
        ("axis", {"dtype": torch.float32}, (AxisFilter("dtype", frozenset({"float32"})),)),
        ("axis", {"causal": [None, "top-left"]}, (AxisFilter("causal", frozenset({"none", "top-left"})),)),
        ("axis", {"d": 64, "scale": None}, (AxisFilter("d", {"64"}), AxisFilter("scale", {"default"}))),
        ("axis", "dtype=[float32]", (AxisFilter("dtype", frozenset({"float32"})),)),
        ("axis", ["dtype=float32", "d=64"], (AxisFilter("dtype", {"float32"}), AxisFilter("d", {"64"}))),
        ("case", CASE, (CASE,)),
        ("case", CASE.id, (CASE,)),
        ("case", [CASE, OTHER.id], (CASE, OTHER)),
        ("case", (case for case in (CASE, OTHER)), (CASE, OTHER)),
        ("require", ("here", 10), ("here", "10")),
        ("require", 10, ("10",)),
        ("require", "here,claimed", ("here", "claimed")),
        ("require", (), ()),
        ("shrink", True, float(SHRINK_SECONDS)),
        ("shrink", False, 0.0),
        ("shrink", 0, 0.0),
        ("shrink", None, None),
        ("shrink", 20, 20.0),
        ("shrink", Fraction(1, 2), 0.5),
        ("shrink", "0.5", 0.5),
        ("cache", True, "on"),
        ("cache", False, "off"),
        ("cache", Path("/kept"), "/kept"),
        ("cache", Path("off"), str(Path("off").absolute())),
        ("cache", "off", "off"),
        ("slowdown", 0.1, 0.1),
        ("slowdown", 1, 1.0),
        ("slowdown", 0.001, 0.001),
        ("slowdown", "2.5%", 0.025),
        ("device", "cpu", ("cpu",)),
        ("device", torch.device("cuda", 1), ("cuda:1",)),
        ("device", ["cuda:0", "cuda:1"], ("cuda:0", "cuda:1")),
        ("sweep", "smoke", ("smoke",)),
        ("sweep", ("smoke", "core"), ("smoke", "core")),
        ("tolerance", "bsa", "bsa"),
        ("output", Path("out"), "out"),
        ("gate", "report", "report"),
        ("baselines", Path("kept"), "kept"),
    ],
)
def test_a_natural_value_and_a_text_are_read(name: str, value: Any, read: Any) -> None:
    assert getattr(options_of({name: value}), name) == read


def test_every_option_takes_a_text() -> None:
    texts = {"kernel": "eager", "case": CASE.id, "seed": "7", "budget": "none", "overclaim": "no", "shrink": "3"}
    assert options_of(texts) == read_options({name: [text] for name, text in texts.items()})


def test_nothing_said_is_every_default() -> None:
    assert options_of({}) == Options()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("overclaim", "perhaps", "overclaim='perhaps'; allowed: True, False"),
        ("overclaim", 1, "overclaim=1; allowed: True, False"),
        ("budget", 0, "budget=0; allowed: GFLOP per case, a number above 0, or None"),
        ("budget", True, "budget=True; allowed: GFLOP per case, a number above 0, or None"),
        ("budget", math.nan, "budget=nan; allowed: GFLOP per case, a number above 0, or None"),
        ("seed", 7.0, "seed=7.0; allowed: a whole number"),
        ("seed", True, "seed=True; allowed: a whole number"),
        ("seed", "x", "seed='x': 'x' is no seed; allowed: a whole number"),
        ("axis", 3, "axis=3; allowed: values by axis, as {'dtype': ['float32']}, or texts as 'dtype=[float32]'"),
        ("axis", {"dtyp": "float16"}, "axis={'dtyp': 'float16'}: unknown axis 'dtyp'; allowed: dtype, "),
        ("axis", {"dtype": "int8"}, "axis={'dtype': 'int8'}: axis dtype has no value 'int8' in this sweep; allowed: "),
        ("case", 3, "case=3; allowed: a Case, the id of one, or several"),
        ("case", [], "case=[]; allowed: a Case, the id of one, or several"),
        ("case", "b1", "case='b1': case id 'b1' does not parse; allowed: ids like "),
        (
            "require",
            ("here", True),
            "require=('here', True); allowed: here, claimed, a number of cells, or several of ",
        ),
        ("require", "her", "require='her': unknown requirement 'her'; allowed: here, claimed, or a number of cells"),
        ("shrink", -1, "shrink=-1; allowed: seconds, 0 for not at all, or True, False"),
        ("shrink", "-1", "shrink='-1': '-1' is no time; allowed: seconds, 0 for not at all, as in shrink=20"),
        ("cache", 3, "cache=3; allowed: a path, True, False"),
        ("slowdown", 5, "slowdown=5; allowed: 0.001 to 1, or a text as '2.5%'"),
        ("device", "gpu", "device='gpu': unknown device 'gpu'; allowed: cpu, "),
        ("sweep", "smok", "sweep='smok': unknown sweep 'smok'; allowed: smoke"),
        ("sweep", [], "sweep=[]; allowed: a text, or several"),
        ("tolerance", None, "tolerance=None; allowed: a text"),
        ("output", 3, "output=3; allowed: a path"),
        ("sede", 3, "unknown option 'sede'; allowed: seed, "),
    ],
)
def test_anything_else_is_refused_as_it_was_written(name: str, value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(says)}.*$"):
        options_of({name: value})


def test_cases_and_axes_are_one_or_the_other() -> None:
    with pytest.raises(ValueError, match=r"^axis='d=64': does not combine with case; allowed: one of the two$"):
        options_of({"axis": "d=64", "case": CASE})


def test_a_long_value_is_shown_in_part() -> None:
    with pytest.raises(ValueError, match=r"^seed=\[0, 1, 2, .{90}\.\.\.; allowed: a whole number$"):
        options_of({"seed": list(range(1000))})


@pytest.mark.parametrize("name", [option.name for option in OPTIONS])
def test_a_value_of_no_known_type_is_refused_by_the_name_of_its_option(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}=<object object at \w+>[;:].* allowed: "):
        options_of({name: object()})
