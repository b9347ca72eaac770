"""Measuring a kernel on a case: what it is given, what is timed and what is noted."""

from __future__ import annotations

import time

import pytest
import torch

from pytest_attn.bench.measure import WrongWhenTimedError, measure, rounds_of_repetitions, time_rounds
from pytest_attn.execution.session import Session
from pytest_attn.kernels.kernel import kernel
from pytest_attn.options.options import Options
from pytest_attn.problem.case import Case
from pytest_attn.problem.inputs import Inputs
from pytest_attn.problem.pairs import flops
from pytest_attn.problem.problem import Problem

CASE = Case(16, 16, head_dim=16, dtype="float32", ask="out")


def attention(problem, inputs):
    return (inputs.query @ inputs.key.mT * problem.scale).softmax(dim=-1) @ inputs.value


class Watched:
    """A right kernel that notes what it is given and how often it runs; preparing takes long."""

    def __init__(self):
        self.given = []
        self.runs = 0

    def prepare(self, problem, inputs):
        time.sleep(0.1)
        self.given.append(inputs.clone())
        self.grad_enabled = torch.is_grad_enabled()

        def run():
            self.runs += 1
            time.sleep(0.002)
            return attention(problem, inputs)

        return run


@pytest.fixture
def watched():
    return Watched()


@pytest.fixture
def measured(watched):
    """The measurement of the watched kernel on a case."""

    def run(case=CASE, seed=42, **arguments):
        session = Session(Options(seed=seed))
        cell = session.cell(kernel(devices=("cpu",), strided=True)(watched), case)
        return measure(cell.subject, case, "watched", rounds=20, **arguments)

    return run


def test_preparing_is_not_timed(measured):
    assert max(measured().samples.kernel) < 0.1


def test_a_kernel_is_timed_in_the_state_of_the_process(measured, watched):
    measured()
    assert watched.grad_enabled


def test_a_kernel_is_prepared_once_for_all_blocks_and_run_in_each(measured, watched):
    samples = measured().samples
    assert len(watched.given) == 2
    assert watched.runs >= samples.rounds * samples.kernel_calls


@pytest.mark.parametrize("recipe", ["normal", "zeros"])
def test_inputs_are_fresh_and_random_whatever_the_case_is_judged_with(measured, watched, recipe):
    case = Case(16, 16, head_dim=16, dtype="float32", ask="out", recipe=recipe)
    measured(case)
    _, given = watched.given
    judged = Inputs.draw(Problem.of(case), 42, recipe)
    assert given.query.std() == pytest.approx(1.0, abs=0.3)
    assert not torch.equal(given.query, judged.query)


def test_the_same_seed_gives_the_same_inputs_and_another_seed_others(measured, watched):
    for seed in (1, 1, 2):
        measured(seed=seed)
    first, again, other = (given.query for given in watched.given[1::2])
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_strided_case_is_timed_on_strided_inputs(measured, watched):
    measured(Case(16, 16, head_dim=16, query_heads=2, dtype="float32", ask="out", layout="strided"))
    _, given = watched.given
    assert not all(tensor.is_contiguous() for tensor in (given.query, given.key, given.value))


def test_a_cold_measurement_says_so(measured):
    assert measured(cold=True).cold
    assert not measured().cold


def test_what_the_times_depend_on_is_noted(measured):
    measurement = measured()
    assert (measurement.case, measurement.kernel, measurement.device) == (CASE.id, "watched", "cpu")
    assert (measurement.seed, measurement.threads) == (42, torch.get_num_threads())
    assert measurement.versions["torch"].startswith(torch.__version__.partition("+")[0])
    assert {"python", "pytest-attn"} <= measurement.versions.keys()
    assert measurement.device_name
    assert measurement.flops == flops(CASE)
    assert measurement.control_name == "matmul-16-float32"
    assert measurement.clock == "perf_counter"


def test_memory_that_is_not_asked_for_is_unknown(measured):
    assert measured().peak_bytes is None


def test_the_rounds_of_a_process_are_spread_over_its_repetitions():
    assert rounds_of_repetitions(20, 8) == (4, 4, 2, 2, 2, 2, 2, 2)
    assert rounds_of_repetitions(32, 8) == (4,) * 8
    assert rounds_of_repetitions(32, 1) == (32,)


@pytest.mark.parametrize("rounds", [4, 18, 21])
def test_rounds_that_cannot_decide_or_cannot_be_balanced_are_refused(rounds):
    with pytest.raises(ValueError, match=f"rounds is {rounds}; allowed: an even number, 20 or more"):
        rounds_of_repetitions(rounds, 8)


def test_a_later_repetition_has_inputs_of_its_own(measured, watched):
    measured()
    cell = Session(Options()).cell(kernel(devices=("cpu",))(watched), CASE)
    assert time_rounds(cell.subject, CASE, rounds=2, number=1).rounds == 2
    first, later = (given.query for given in watched.given[1::2])
    assert not torch.equal(first, later)


def test_other_numbers_lay_in_the_memory_of_the_inputs_before(watched):
    addresses = []

    class Looking(Watched):
        def prepare(self, problem, inputs):
            addresses.append(inputs.key.data_ptr())
            return super().prepare(problem, inputs)

    looking = Looking()
    time_rounds(Session(Options()).cell(kernel(devices=("cpu",))(looking), CASE).subject, CASE, rounds=2)
    before, timed = looking.given
    assert addresses[0] == addresses[1]
    assert not torch.equal(before.key, timed.key)


class FirstAgain:
    """Right until it has been called often enough, as a test would; then it returns its first result."""

    def __init__(self):
        self.calls = 0
        self.first = None

    def __call__(self, problem, inputs):
        self.calls += 1
        if self.first is None:
            self.first = attention(problem, inputs)
        return self.first if self.calls > 3 else attention(problem, inputs)


class ByAddress:
    """Looks up what it computed for the same address and shape."""

    def __init__(self):
        self.known = {}

    def __call__(self, problem, inputs):
        key = (inputs.query.data_ptr(), inputs.query.shape)
        if key not in self.known:
            self.known[key] = attention(problem, inputs)
        return self.known[key]


class ZerosOnceJudged:
    """Right in its first calls alone."""

    def __init__(self):
        self.calls = 0

    def __call__(self, problem, inputs):
        self.calls += 1
        out = attention(problem, inputs)
        return out if self.calls <= 2 else torch.zeros_like(out)


@pytest.mark.parametrize("cheat", [FirstAgain, ByAddress, ZerosOnceJudged])
def test_a_kernel_that_is_wrong_only_where_it_is_timed_is_red(cheat):
    cheat = cheat()

    class Cheating:
        def prepare(self, problem, inputs):
            return lambda: cheat(problem, inputs)

    cell = Session(Options()).cell(kernel(devices=("cpu",))(Cheating()), CASE)
    assert cell.judge().passed
    with pytest.raises(WrongWhenTimedError, match=r"^timed: out: "):
        cell.measure(rounds=20, memory=False)


class Remembering:
    """Computes nothing for inputs that nobody has written since; the others take two milliseconds."""

    def __init__(self):
        self.known = {}

    def __call__(self, problem, inputs):
        key = (inputs.query.data_ptr(), inputs.query._version)
        if key not in self.known:
            time.sleep(0.002)
            self.known = {key: attention(problem, inputs)}
        return self.known[key]


class ConvertsLate:
    """Prepares in its first call, which takes long, and computes in every one."""

    def __init__(self):
        self.ready = set()

    def __call__(self, problem, inputs):
        if id(inputs) not in self.ready:
            time.sleep(0.05)
            self.ready.add(id(inputs))
        time.sleep(0.0005)
        return attention(problem, inputs)


def timed(function):
    class Calling:
        def prepare(self, problem, inputs):
            return lambda: function(problem, inputs)

    cell = Session(Options()).cell(kernel(devices=("cpu",))(Calling()), CASE)
    assert cell.judge().passed
    return cell.measure(rounds=20, memory=False)


def test_a_kernel_that_keeps_the_result_of_unchanged_inputs_is_red():
    with pytest.raises(WrongWhenTimedError, match=r"^timed: a call on changed inputs takes .* are not computed$"):
        timed(Remembering())


def test_a_kernel_that_prepares_in_its_first_call_is_not_taken_for_one_that_keeps_results():
    assert timed(ConvertsLate()).samples.rounds == 20


def test_inputs_that_are_written_only_while_timed_are_red():
    calls = []

    class Writing:
        def prepare(self, problem, inputs):
            def run():
                calls.append(1)
                out = attention(problem, inputs)
                if len(calls) > 4:
                    inputs.value.mul_(0.5)
                return out

            return run

    cell = Session(Options()).cell(kernel(devices=("cpu",))(Writing()), CASE)
    assert cell.judge().passed
    with pytest.raises(WrongWhenTimedError, match=r"^timed: the kernel wrote into its inputs: value"):
        cell.measure(rounds=20, memory=False)


def test_an_output_that_is_left_unwritten_where_it_is_timed_is_red():
    calls = []

    def fill(query, key, value, scale, out):
        calls.append(1)
        if len(calls) <= 3:
            out.copy_((query @ key.mT * scale).softmax(dim=-1) @ value)

    cell = Session(Options()).cell(kernel(devices=("cpu",), out_variant=True, any_scale=True)(fill), CASE)
    assert cell.judge().passed
    with pytest.raises(WrongWhenTimedError, match=r"^timed: out: not finite"):
        cell.measure(rounds=20, memory=False)


def test_a_case_whose_oracle_knows_no_random_inputs_is_judged_by_the_exact_one(watched):
    case = Case(16, 16, head_dim=16, dtype="float32", ask="out", recipe="zeros", oracle="analytic")
    cell = Session(Options()).cell(kernel(devices=("cpu",))(watched), case)
    assert cell.measure(rounds=20, memory=False).samples.rounds == 20
