"""What a kernel refuses within its claims, as the page on capabilities has it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import pytest_attn
from pytest_attn.execution.session import Session
from pytest_attn.kernels.kernel import Kernel
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.problem import Problem
from pytest_attn.problem.variants.attn_bias import Bias
from pytest_attn.problem.variants.block_table import Paged
from pytest_attn.problem.variants.seqused_k import KeyLengths
from pytest_attn.problem.variants.sinks import Sinks
from pytest_attn.problem.variants.window_size import WindowSize

PAGE = Path(pytest_attn.__file__).parents[1] / "docs" / "capabilities.md"
CLAIMS = {"causal": True, "variants": ("attn_bias", "block_table", "seqused_k", "sinks", "window_size")}


def documented() -> Mapping[str, Callable[[Problem], bool]]:
    """The refusals that the page shows."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## Refusals\n")[2].partition("\n## ")[0]
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        exec(block, found)
    refuses: Mapping[str, Callable[[Problem], bool]] = found["refuses"]
    return refuses


def why_not(case: Case, **claims: Any) -> str | None:
    return pytest_attn.Capabilities.of(**CLAIMS | claims).why_not(Problem.of(case), "cpu")


def case_of(query: int, key: int, **fields: Any) -> Case:
    return Case(query, key, **{"head_dim": 64, "ask": "out"} | fields)


EXAMPLES = {
    "dense": (case_of(4, 4), case_of(4, 4, causal="bottom-right")),
    "not causal": (case_of(4, 4, variants=(WindowSize(1, 1),)), case_of(4, 4, causal="bottom-right")),
    "causal with other lengths": (case_of(4, 6, causal="bottom-right"), case_of(4, 6)),
    "more queries than keys": (case_of(6, 4), case_of(4, 4)),
    "several batches with a cache": (case_of(1, 64, batch=2, variants=(Paged(16),)), case_of(1, 64, batch=2)),
    "lengths that are no multiples of 64": (case_of(64, 65), case_of(64, 128)),
    "a head dimension that is no multiple of 8": (case_of(4, 4, head_dim=12), case_of(4, 4, head_dim=72)),
    "causal in float32": (
        case_of(4, 4, dtype="float32", causal="bottom-right"),
        case_of(4, 4, dtype="float16", causal="bottom-right"),
    ),
    "a bias of float32 beside half types": (
        case_of(4, 4, variants=(Bias(float32=True),)),
        case_of(4, 4, variants=(Bias(),)),
    ),
    "sinks of float32 beside half types": (
        case_of(4, 4, variants=(Sinks(),)),
        case_of(4, 4, dtype="float32", variants=(Sinks(),)),
    ),
    "windows with other lengths, which lie top-left": (
        case_of(4, 6, variants=(WindowSize(1, 1),)),
        case_of(4, 4, variants=(WindowSize(1, 1),)),
    ),
}
"""By reason, a case that is refused for it and one that is not."""


def test_every_refusal_of_the_page_is_shown_here() -> None:
    assert set(EXAMPLES) == set(documented())


@pytest.mark.parametrize("reason", EXAMPLES)
def test_what_is_refused_is_not_claimed_for_its_reason(reason: str) -> None:
    assert why_not(EXAMPLES[reason][0], refuses={reason: documented()[reason]}) == reason


@pytest.mark.parametrize("reason", EXAMPLES)
def test_what_is_not_refused_stays_claimed(reason: str) -> None:
    assert why_not(EXAMPLES[reason][1], refuses={reason: documented()[reason]}) is None


def test_a_window_over_sequences_of_other_lengths_than_the_tensors_is_refused() -> None:
    reason = "windows with other lengths, which lie top-left"
    padded = case_of(64, 64, batch=3, variants=(WindowSize(1, 1), KeyLengths()))
    assert why_not(padded, refuses={reason: documented()[reason]}) == reason


def test_what_is_not_claimed_is_said_before_what_is_refused() -> None:
    assert why_not(case_of(6, 4, causal="top-left"), refuses={"all": lambda problem: True}) == "causal_top_left"


def refusing(predicate: Any, reason: str = "odd ones") -> Kernel:
    @pytest_attn.kernel(lse=True, refuses={reason: predicate})
    def kernel(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, scale: float, return_lse: bool
    ) -> torch.Tensor:
        raise NotImplementedError(reason)

    return kernel


@pytest.mark.parametrize(
    ("oracle", "predicate"),
    [
        ("duplicatedkeys", lambda problem: problem.key_length > 40),
        ("splitkeys", lambda problem: problem.key_length < 40),
        ("expandedheads", lambda problem: problem.group == 1),
    ],
)
def test_a_relation_that_needs_a_refused_problem_is_not_claimed(
    oracle: Any, predicate: Callable[[Problem], bool]
) -> None:
    heads = {"query_heads": 2, "key_heads": 1} if oracle == "expandedheads" else {}
    case = Case(40, 40, head_dim=16, dtype="float32", oracle=oracle, **heads)
    kernel = pytest_attn.kernel(lse=True, gqa=True, refuses={"odd ones": predicate})(lambda *_, **__: None)
    record = Session(Options()).cell(kernel, case).record()
    assert (record.outcome, record.reason) == ("not claimed", "not claimed: odd ones")


def test_calls_of_a_sequence_that_are_refused_are_left_out() -> None:
    @pytest_attn.kernel(refuses={"other scales": lambda problem: problem.scale != 0.25})
    def fussy(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, scale: float) -> torch.Tensor:
        assert scale == 0.25
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scale)

    case = Case(20, 20, head_dim=16, dtype="float32", ask="out", oracle="sequence")
    assert Session(Options()).cell(fussy, case).record().outcome == "passed"


def test_what_is_refused_is_judged_where_more_than_is_claimed_is_asked_for() -> None:
    @pytest_attn.kernel(refuses={"more queries than keys": lambda problem: problem.query_length > problem.key_length})
    def wrong(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, scale: float) -> torch.Tensor:
        return query.clone()

    record = Session(Options(overclaim=True)).cell(wrong, case_of(6, 4, dtype="float32")).record()
    assert (record.outcome, record.unclaimed) == ("failed", "more queries than keys")


def test_a_refusal_of_the_log_sum_exp_leaves_the_output_to_be_judged() -> None:
    refuses = {"lse of causal": lambda problem: problem.wants_lse and problem.causal is not None}
    kernel = pytest_attn.kernel(lse=True, causal=True, refuses=refuses)(lambda *_, **__: None)
    case = Case(129, 129, query_heads=2, head_dim=64, dtype="float32", causal="bottom-right")
    assert Session(Options()).cell(kernel, case, "smoke").case.ask == "out"


def raises(problem: Problem) -> bool:
    raise AttributeError("no\nsuch thing")


def skips(problem: Problem) -> bool:
    pytest.skip("not today")


@pytest.mark.parametrize("overclaim", [False, True])
@pytest.mark.parametrize(
    ("predicate", "says"),
    [
        (raises, "raised AttributeError: no such thing"),
        (skips, "raised Skipped: not today"),
        (lambda problem: problem.query_length % 64, "is 40"),
        (lambda problem: None, "is None"),
        (lambda problem: "yes", "is 'yes'"),
        (lambda problem: torch.tensor(False), "is tensor(False)"),
        (lambda: True, r"raised TypeError: .* takes 0 positional arguments but 1 was given"),
    ],
    ids=["raises", "skips", "number", "none", "text", "tensor", "arguments"],
)
def test_a_refusal_that_says_neither_yes_nor_no_is_red(predicate: Any, says: str, overclaim: bool) -> None:
    case = Case(40, 40, head_dim=16, dtype="float32")
    record = Session(Options(overclaim=overclaim)).cell(refusing(predicate), case, "smoke").record()
    sentence = rf"refuses\['odd ones'\] {re.escape(says) if '.*' not in says else says}; allowed: True or False"
    assert record.outcome == "failed"
    assert re.match(rf"{case.id} \[kernel\]: {sentence}, of every problem\nreproduce: ", record.message)


def test_one_that_does_so_in_a_later_call_of_a_sequence_is_red() -> None:
    kernel = refusing(lambda problem: False if problem.scale == 0.25 else None)
    case = Case(20, 20, head_dim=16, dtype="float32", ask="out", oracle="sequence")
    assert Session(Options()).cell(kernel, case).record().reason.startswith("refuses['odd ones'] is None; allowed")


@pytest.mark.parametrize(
    ("refuses", "says"),
    [
        (["dense"], r"refuses is \['dense'\]; allowed: a mapping from reasons to functions of the problem$"),
        (None, "refuses is None; allowed: a mapping"),
        ({"": bool}, "refuses has the reason ''; allowed: a text of one line$"),
        ({"two\nlines": bool}, r"refuses has the reason 'two\\nlines'; allowed: a text of one line$"),
        ({3: bool}, "refuses has the reason 3; allowed: a text of one line$"),
        ({"dense": True}, r"refuses\['dense'\] is True; allowed: a function of the problem$"),
    ],
)
def test_a_declaration_of_something_else_is_refused_by_name(refuses: Any, says: str) -> None:
    with pytest.raises(ValueError, match=f"^kernel: {says}"):
        pytest_attn.kernel(refuses=refuses)
