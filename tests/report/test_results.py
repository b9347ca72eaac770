"""What a document comes to: its claim, what failed, and what is wrong with the run as a whole."""

from __future__ import annotations

from results import decision, failed, gate, passed, results, skipped

from pytest_attn.records.record import severity
from pytest_attn.report.results import worst_failed


def test_the_claim_counts_cells_and_benchmarks() -> None:
    found = results(failed(), passed(), gate=gate(decision(), decision("same", "b")))
    assert found.claim.startswith("claimed 2 of 2 | ran 2 | passed 1 | failed 1 | ")
    assert found.claim.endswith("; gate (strict) on epyc-2-cores: slower 1 | same 1")


def test_a_document_without_a_gate_claims_its_cells_alone() -> None:
    assert results(passed(), skipped()).claim.endswith(" | not here 0 | not claimed 1 | unsatisfiable 0")


def test_a_statistic_that_is_not_finite_is_the_worst() -> None:
    assert severity(failed(share=float("inf"))) == float("inf")
    assert severity(failed(share=float("nan"))) == float("inf")


def test_the_worst_cells_stand_first() -> None:
    raised = failed("raised", figures={}, flops=2)
    again = failed("again", share=0.4, flops=1)  # right by every statistic, so a fact is wrong
    found = results(failed("a", 3.0), failed("b", 9.0), raised, again)
    assert [record.case for record in worst_failed([found])] == ["again", "raised", "b", "a"]


def test_a_run_that_was_killed_is_a_fault() -> None:
    assert results(passed(), ended=False).run_failures == (
        "the run did not come to its end; what it found until then is here",
    )


def test_what_made_a_run_red_beside_its_cells_is_a_fault() -> None:
    assert results(passed(), faults=("1 cells were judged",)).run_failures == ("1 cells were judged",)


def test_faults_of_speed_are_those_of_a_strict_gate() -> None:
    assert len(results(gate=gate(baseline=False)).run_failures) == 1
    assert results(gate=gate(baseline=False, mode="report")).run_failures == ()
