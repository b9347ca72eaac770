"""The sampler: in which order, how often and how long."""

from __future__ import annotations

import gc

import pytest

from pytest_attn.bench.sampler import BLOCK_SECONDS, calibrated, sample


class Timeline:
    """A clock that advances by what each piece of work declares, and logs the work."""

    name = "timeline"
    resolution = 1e-9

    def __init__(self, **seconds):
        self.seconds = seconds
        self.now = 0.0
        self.log = []

    def work(self, name):
        def run():
            self.log.append(name)
            self.now += self.seconds[name]

        return run

    def measure(self, work, before=None):
        if before:
            before()
        self.now = 0.0
        work()
        return self.now


def sampled(clock, *, rounds=20, seed=1, cold=False, before=None):
    """The samples and the order in which the timed work ran."""
    works = clock.work("kernel"), clock.work("control"), clock.work("twin")
    flush = clock.work("flush") if cold else None
    samples = sample(clock, works[0], works[1:], rounds=rounds, seed=seed, flush=flush, before=before)
    return samples, clock.log[-4 * rounds * (2 if cold else 1) :]


@pytest.fixture
def clock():
    return Timeline(kernel=0.006, control=0.008, twin=0.009, flush=1.0)


def test_each_round_holds_a_pair_with_the_kernel_and_then_a_pair_of_controls(clock):
    samples, order = sampled(clock)
    rounds = [order[start : start + 4] for start in range(0, 80, 4)]
    assert [sorted(names[:2]) for names in rounds] == [["control", "kernel"]] * 20
    assert [sorted(names[2:]) for names in rounds] == [["control", "twin"]] * 20
    assert samples.rounds == 20


def test_half_of_the_pairs_run_each_way_in_an_order_that_is_recorded(clock):
    samples, order = sampled(clock)
    assert sum(samples.kernel_first) == sum(samples.control_first) == 10
    assert tuple(name == "kernel" for name in order[::4]) == samples.kernel_first
    assert tuple(name == "control" for name in order[2::4]) == samples.control_first


def test_the_order_is_shuffled_by_the_seed(clock):
    orders = [sampled(clock, seed=seed)[0].kernel_first for seed in (1, 1, 2)]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


def test_times_are_those_of_each_piece_of_work(clock):
    samples, _ = sampled(clock)
    assert samples.kernel == pytest.approx([0.006] * 20)
    assert samples.control == pytest.approx([0.008] * 20)
    assert samples.control_again == ((0.008, 0.009),) * 20


def test_a_short_kernel_is_repeated_until_a_block_is_long_enough():
    clock = Timeline(kernel=0.0003, control=0.002, twin=0.002)
    samples, _ = sampled(clock)
    assert samples.kernel_calls == 17
    assert samples.control_calls == 3
    assert samples.kernel == pytest.approx([0.0003] * 20)


def test_a_coarse_clock_asks_for_a_longer_block():
    clock = Timeline(kernel=0.01)
    clock.resolution = 1e-4
    assert calibrated(clock, clock.work("kernel")).calls == 10


@pytest.mark.parametrize(("seconds", "calls"), [(0.0, 1), (float("nan"), 1), (1e-12, 10_000)])
def test_a_clock_that_says_nothing_does_not_make_blocks_endless(seconds, calls):
    clock = Timeline(kernel=seconds)
    assert calibrated(clock, clock.work("kernel")).calls == calls


def test_a_cold_kernel_is_flushed_before_every_call_and_the_flush_is_not_timed(clock):
    clock.seconds["kernel"] = 0.0025
    samples, _ = sampled(clock, cold=True)
    kernels = [place for place, name in enumerate(clock.log) if name == "kernel"]
    assert {clock.log[place - 1] for place in kernels} == {"flush"}
    assert samples.kernel_calls == 2
    assert samples.kernel == pytest.approx([0.0025] * 20)


def test_warm_up_comes_before_the_first_timed_round(clock):
    sampled(clock)
    before = clock.log[: len(clock.log) - 80]
    assert {name: before.count(name) for name in ("kernel", "control", "twin")} == {
        "kernel": 5,
        "control": 5,
        "twin": 1,
    }


def test_a_later_sitting_takes_over_the_calls_in_a_block(clock):
    first, _ = sampled(clock)
    clock.seconds["kernel"] = 0.0005
    clock.log.clear()
    later, _ = sampled(clock, before=first)
    assert (first.kernel_calls, later.kernel_calls) == (1, 1)
    assert [clock.log.count(name) for name in ("kernel", "control", "twin")] == [21, 41, 21]


def test_a_round_of_a_throttled_device_is_measured_again_and_counted(clock):
    answers = iter([False, True, True] + [False] * 30)
    works = (clock.work("kernel"), (clock.work("control"), clock.work("twin")))
    samples = sample(clock, *works, rounds=20, seed=1, flush=None, throttled=lambda: next(answers))
    assert samples.discarded == 2
    assert clock.log.count("twin") == 1 + 20 + 2
    assert samples.kernel == pytest.approx([0.006] * 20)
    assert sum(samples.kernel_first) == 10


def test_a_device_that_stays_throttled_is_not_waited_for(clock):
    works = (clock.work("kernel"), (clock.work("control"), clock.work("twin")))
    samples = sample(clock, *works, rounds=20, seed=1, flush=None, throttled=lambda: True)
    assert samples.unusable == "the device was throttled in 20 rounds, too often to time 20 others"


def test_no_garbage_is_collected_while_it_samples(clock):
    seen = []
    works = (clock.work("control"), clock.work("twin"))
    sample(clock, lambda: (seen.append(gc.isenabled()), clock.work("kernel")()), works, rounds=20, seed=1, flush=None)
    assert set(seen) == {False}
    assert gc.isenabled()


@pytest.mark.parametrize("rounds", [0, 21])
def test_rounds_that_cannot_be_balanced_are_refused(clock, rounds):
    with pytest.raises(ValueError, match=f"rounds is {rounds}; allowed: an even number from 2"):
        sampled(clock, rounds=rounds)


def test_the_shortest_block_is_five_milliseconds():
    assert BLOCK_SECONDS == 5e-3
