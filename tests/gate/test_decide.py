"""Each word has its cause, and a change is called one only after fresh processes have seen it too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from synthetic import KERNEL, Host, named

from pytest_attn.gate.baseline import Baseline
from pytest_attn.gate.decide import decide
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.records.decision import Decision

IDS = named(4)


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def baseline(host: Host) -> Baseline:
    return Baseline.of(host.runs(6, IDS))


def judged(host: Host, baseline: Baseline, again: bool = True, **changes: Any) -> tuple[Decision, ...]:
    """Decisions on a run, confirmed under the same conditions."""
    confirmation = host.runs(5, IDS, **changes) if again else []
    return decide(baseline, [host.run(IDS, **changes)], confirmation)


def words(decisions: tuple[Decision, ...]) -> set[str]:
    return {decision.word for decision in decisions}


def test_unchanged_code_is_the_same(host: Host, baseline: Baseline) -> None:
    assert words(judged(host, baseline)) == {"same"}


def test_only_the_kernel_that_slowed_is_slower(host: Host, baseline: Baseline) -> None:
    found = {decision.id: decision.word for decision in judged(host, baseline, slow={IDS[2]: 0.15})}
    assert found == {IDS[0]: "same", IDS[1]: "same", IDS[2]: "slower", IDS[3]: "same"}


def test_a_slowdown_of_every_kernel_is_found(host: Host, baseline: Baseline) -> None:
    assert words(judged(host, baseline, slow=0.12)) == {"slower"}


def test_a_slowdown_that_one_process_shows_is_suspect_and_not_slower(host: Host, baseline: Baseline) -> None:
    found = judged(host, baseline, again=False, slow=0.15)
    assert {(decision.word, decision.stage) for decision in found} == {("inconclusive", "suspect")}


def test_what_seems_changed_stays_open(host: Host, baseline: Baseline) -> None:
    found = decide(baseline, [host.run(IDS, slow={IDS[1]: 0.15})])
    assert [decision.id for decision in found if decision.open] == [IDS[1]]


def test_a_slowdown_that_fresh_processes_do_not_show_is_the_same(host: Host, baseline: Baseline) -> None:
    found = decide(baseline, [host.run(IDS, slow=0.15)], host.runs(5, IDS))
    assert {(decision.word, decision.stage) for decision in found} == {("same", "not confirmed")}


def test_three_fresh_processes_that_agree_are_too_few_to_call_it_slower(host: Host, baseline: Baseline) -> None:
    found = decide(baseline, [host.run(IDS, slow=0.15)], host.runs(3, IDS, slow=0.15))
    assert {(decision.word, decision.open) for decision in found} == {("inconclusive", True)}
    assert "slower by 3 fresh processes, 5 are needed to call it so" in found[0].line


def test_confirmation_may_hold_the_suspects_alone(host: Host, baseline: Baseline) -> None:
    run = host.run(IDS, slow={IDS[1]: 0.15})
    found = decide(baseline, [run], host.runs(5, [IDS[1]], slow=0.15, complete=False))
    assert [decision.word for decision in found] == ["same", "slower", "same", "same"]


def test_a_quicker_kernel_is_faster_and_asks_for_an_accept(host: Host, baseline: Baseline) -> None:
    found = judged(host, baseline, slow=-0.2)
    assert words(found) == {"faster"}
    assert "accept" in found[0].line


def test_a_loaded_machine_slows_no_kernel(host: Host, baseline: Baseline) -> None:
    found = judged(host, baseline, load=0.3)
    assert words(found) == {"same"}
    assert "the control itself took +" in found[0].reason


def test_a_slowdown_on_a_loaded_machine_is_still_found(host: Host, baseline: Baseline) -> None:
    assert words(judged(host, baseline, slow=0.2, load=0.3)) == {"slower"}


def test_a_noisy_control_makes_a_case_inconclusive(host: Host, baseline: Baseline) -> None:
    found = judged(host, baseline, slow=0.15, changes={"again": ((1.0, 1.3),) * 20})
    assert words(found) == {"inconclusive"}


def test_contamination_of_the_confirming_processes_confirms_nothing(host: Host, baseline: Baseline) -> None:
    again = host.runs(5, IDS, slow=0.15, changes={"again": ((1.0, 1.3),) * 20})
    assert words(decide(baseline, [host.run(IDS, slow=0.15)], again)) == {"inconclusive"}


def test_what_a_noisy_machine_left_unclear_is_settled_by_fresh_processes(host: Host, baseline: Baseline) -> None:
    noisy = host.run(IDS, changes={"again": ((1.0, 1.3),) * 20})
    assert all(decision.open for decision in decide(baseline, [noisy]))
    assert words(decide(baseline, [noisy], host.runs(5, IDS))) == {"same"}
    assert words(decide(baseline, [noisy], host.runs(5, IDS, slow=0.15))) == {"slower"}


def test_one_process_of_several_with_times_that_are_none_is_suspicious(host: Host, baseline: Baseline) -> None:
    broken = host.run(IDS, changes={"unusable": "1 times of the kernel are no times"})
    assert words(decide(baseline, [*host.runs(2, IDS), broken])) == {"suspicious"}


def test_a_device_that_was_throttled_too_often_is_inconclusive(host: Host, baseline: Baseline) -> None:
    throttled = {"unusable": "the device was throttled in 20 rounds, too often to measure", "discarded": 20}
    assert words(decide(baseline, [host.run(IDS, changes=throttled)])) == {"inconclusive"}


def test_a_confirmation_under_other_conditions_is_foreign(host: Host, baseline: Baseline) -> None:
    again = host.runs(
        3, IDS, slow=0.15, changes={"conditions": {"device": "cpu", "threads": 2, "seed": 42, "cold": False}}
    )
    assert words(decide(baseline, [host.run(IDS, slow=0.15)], again)) == {"foreign"}


@pytest.mark.parametrize("why", ["1 times of the kernel are no times, as 0 s"])
def test_times_that_are_none_are_suspicious(host: Host, baseline: Baseline, why: str) -> None:
    found = judged(host, baseline, changes={"unusable": why})
    assert {(decision.word, decision.reason) for decision in found} == {("suspicious", why)}


def test_one_arm_that_spreads_by_seventy_percent_is_inconclusive(host: Host, baseline: Baseline) -> None:
    wild = Host(own=0.7, spikes=0.0, random=np.random.default_rng(5))
    quiet = host.run(IDS)
    run = replace(
        quiet,
        benchmarks={id: replace(quiet.benchmarks[id], seconds=wild.timing(id).seconds) for id in IDS},
    )
    assert words(decide(baseline, [run])) == {"inconclusive"}


def test_samples_of_two_modes_are_never_called_slower(host: Host, baseline: Baseline) -> None:
    def two_modes() -> Any:
        run = host.run(IDS)
        jump = np.where(np.arange(host.rounds) % 2, 1.4, 1.0)
        modes = {
            id: replace(timing, seconds=tuple((np.array(timing.seconds) * jump).tolist()))
            for id, timing in run.benchmarks.items()
        }
        return replace(run, benchmarks=modes)

    assert words(decide(baseline, [two_modes()], [two_modes() for _ in range(3)])) <= {"inconclusive", "same"}


def test_a_renamed_case_is_new_and_the_old_one_gone(host: Host, baseline: Baseline) -> None:
    renamed = BenchmarkId("b1-h9-s1024", KERNEL)
    found = {each.id: each.word for each in decide(baseline, [host.run([*IDS[1:], renamed])])}
    assert (found[IDS[0]], found[renamed]) == ("gone", "new")


def test_a_run_of_a_part_of_the_suite_misses_nothing(host: Host, baseline: Baseline) -> None:
    found = decide(baseline, [host.run(IDS[:1], complete=False)])
    assert [decision.id for decision in found] == [IDS[0]]


@pytest.mark.parametrize(
    ("changes", "words_of_it"),
    [
        ({"machine": "amd-epyc-64-cores"}, "amd-epyc-64-cores"),
        (
            {"changes": {"conditions": {"device": "cpu", "threads": 2, "seed": 42, "cold": False}}},
            "threads 1 there, threads 2 here",
        ),
        (
            {"changes": {"conditions": {"device": "cpu", "threads": 1, "seed": 7, "cold": False}}},
            "seed 42 there, seed 7 here",
        ),
    ],
)
def test_what_was_measured_otherwise_is_foreign(
    host: Host, baseline: Baseline, changes: dict[str, Any], words_of_it: str
) -> None:
    found = judged(host, baseline, **changes)
    assert words(found) == {"foreign"}
    assert words_of_it in found[0].line


def test_another_board_of_the_same_model_is_foreign(host: Host) -> None:
    found = decide(Baseline.of(host.runs(5, IDS, unit="GPU-a")), [host.run(IDS, unit="GPU-b")])
    assert {(decision.word, decision.reason) for decision in found} == {
        ("foreign", "the baseline is of device GPU-a, this run of GPU-b")
    }


def test_the_same_board_is_compared(host: Host) -> None:
    baseline = Baseline.of(host.runs(5, IDS, unit="GPU-a"))
    assert words(decide(baseline, [host.run(IDS, unit="GPU-a")])) == {"same"}


@pytest.mark.parametrize(
    ("of_baseline", "of_run", "why"),
    [
        ("GPU-a", "", "the baseline is of device GPU-a, this run does not say of which"),
        ("", "GPU-b", "this run is of device GPU-b, the baseline does not say of which; accept a new one"),
    ],
)
def test_a_board_that_is_not_named_does_not_pass_as_the_same(
    host: Host, of_baseline: str, of_run: str, why: str
) -> None:
    found = decide(Baseline.of(host.runs(5, IDS, unit=of_baseline)), [host.run(IDS, unit=of_run)])
    assert {(decision.word, decision.reason) for decision in found} == {("foreign", why)}


def test_a_confirmation_on_another_board_is_foreign(host: Host) -> None:
    baseline = Baseline.of(host.runs(5, IDS, unit="GPU-a"))
    again = host.runs(5, IDS, slow=0.15, unit="GPU-b")
    assert words(decide(baseline, [host.run(IDS, slow=0.15, unit="GPU-a")], again)) == {"foreign"}


@pytest.mark.parametrize("other", ["GPU-b", ""])
def test_runs_of_two_boards_make_no_baseline(host: Host, other: str) -> None:
    with pytest.raises(ValueError, match="baseline: runs of different machines: GPU-a"):
        Baseline.of([*host.runs(4, IDS, unit="GPU-a"), host.run(IDS, unit=other)])


def test_another_torch_is_no_other_machine_but_is_told(host: Host, baseline: Baseline) -> None:
    found = judged(host, baseline, changes={"versions": {"torch": "2.14"}})
    assert words(found) == {"same"}
    assert "torch 2.13 there, torch 2.14 here" in found[0].line


def test_discarded_rounds_are_told(host: Host, baseline: Baseline) -> None:
    found = judged(host, baseline, again=False, changes={"discarded": 3})
    assert words(found) == {"same"}
    assert "3 rounds on a throttled device were discarded" in found[0].line


def test_a_speed_up_beyond_what_the_machine_can_do_is_suspicious(host: Host) -> None:
    # The control runs at twice the FLOP rate of the synthetic kernel: 0.22 of its time is 2.3 times, 0.15 is 3.3 times.
    baseline = Baseline.of(host.runs(5, IDS, slow=-0.78))
    found = decide(baseline, [host.run(IDS, slow={id: -0.85 if id == IDS[0] else -0.78 for id in IDS})])
    assert [decision.word for decision in found] == ["suspicious", "same", "same", "same"]
    assert "times the FLOP rate of the control" in found[0].line


def test_a_kernel_that_no_longer_does_its_work_does_not_pass(host: Host) -> None:
    slow = Baseline.of(host.runs(5, IDS, slow=20.0))
    assert words(decide(slow, [host.run(IDS, slow=-0.2)])) == {"suspicious"}


def test_a_baseline_of_too_few_runs_decides_nothing(host: Host) -> None:
    found = judged(host, Baseline.of(host.runs(3, IDS)), slow=0.5)
    assert {decision.reason for decision in found} == {"3 usable runs in the baseline, 5 are needed"}


def test_without_raw_times_the_floor_alone_decides_and_says_so(host: Host) -> None:
    bare = {"seconds": (), "control": (), "again": ()}
    baseline = Baseline.of(host.runs(1, IDS, changes=bare))
    found = judged(host, baseline, slow=0.3, changes=bare)
    assert words(found) == {"slower"}
    assert "the floor alone decides" in found[0].line


def test_a_floor_of_its_own_lets_a_case_slow_further(host: Host, baseline: Baseline) -> None:
    run, again = host.run(IDS, slow=0.15), host.runs(5, IDS, slow=0.15)
    found = decide(baseline, [run], again, floors={IDS[0]: 0.30})
    assert [decision.word for decision in found] == ["same", "slower", "slower", "slower"]


def test_a_process_confirms_itself_never(host: Host, baseline: Baseline) -> None:
    run = host.run(IDS, slow=0.2)
    with pytest.raises(ValueError, match="from the same process as"):
        decide(baseline, [run], [run, run, run])


def test_a_candidate_without_runs_is_refused(baseline: Baseline) -> None:
    with pytest.raises(ValueError, match="candidate: no runs"):
        decide(baseline, [])


def test_the_line_of_a_decision_says_all_that_it_rests_on(host: Host, baseline: Baseline) -> None:
    (line,) = {each.line for each in judged(host, baseline, slow={IDS[0]: 0.2}) if each.id == IDS[0]}
    assert "\n" not in line
    for part in (
        f"{IDS[0]}: slower",
        " ms -> ",
        "x 1.",
        " to ",
        "floor 5%",
        "smallest detectable",
        "reproduce: python",
    ):
        assert part in line
