"""Work shared by single-threaded workers."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
import torch

from pytest_attn.devices import workers
from pytest_attn.devices.workers import share


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    """Two workers of a pool of their own, whatever the machine; its thread count is given back."""
    before = torch.get_num_threads()
    workers._pool.cache_clear()
    torch.set_num_threads(2)
    yield
    workers._pool.cache_clear()
    torch.set_num_threads(before)


def threads_of_a_new_thread() -> int:
    """The thread count that torch gives to a thread born now."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def fail_at_once(items: Iterator[int]) -> None:
    for item in items:
        raise KeyError(item)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 200])
def test_every_item_is_done_once(threads: int, count: int) -> None:
    torch.set_num_threads(threads)
    done: list[int] = []
    share(range(count), done.extend)
    assert Counter(done) == Counter(range(count))


def test_items_may_come_from_a_slow_generator() -> None:
    def slow() -> Iterator[int]:
        # A worker that asks while another waits here would be told "generator already executing".
        for number in range(20):
            time.sleep(0.001)
            yield number

    done: list[int] = []
    share(slow(), done.extend)
    assert sorted(done) == list(range(20))


def test_two_workers_work_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)

    def work(items: Iterator[int]) -> None:
        for _ in items:
            both.wait()

    share(range(6), work)


def test_one_thread_works_in_the_caller() -> None:
    torch.set_num_threads(1)
    names: set[str] = set()
    share(range(3), lambda items: names.update(threading.current_thread().name for _ in items))
    assert names == {threading.current_thread().name}


def test_a_worker_has_one_torch_thread() -> None:
    counts: set[int] = set()
    share(range(20), lambda items: counts.update(torch.get_num_threads() for _ in items))
    assert counts == {1}


def test_a_worker_without_torch_in_its_first_round_has_one_torch_thread_in_the_second() -> None:
    # torch reads the thread count of the process at a thread's first operation, not at its birth.
    both, counts = threading.Barrier(2, timeout=10), set[int]()

    def meet(items: Iterator[int]) -> None:
        for _ in items:
            both.wait()

    def count(items: Iterator[int]) -> None:
        for _ in items:
            both.wait()
            counts.add(torch.get_num_threads())

    share(range(2), meet)
    share(range(2), count)
    assert counts == {1}


@pytest.mark.parametrize("threads", [1, 2])
def test_an_exception_of_a_worker_is_raised_in_the_caller(threads: int) -> None:
    torch.set_num_threads(threads)
    with pytest.raises(KeyError):
        share(range(5), fail_at_once)


def test_an_exception_of_the_items_is_raised_in_the_caller() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        share(items(), list)


def test_share_works_again_after_an_exception() -> None:
    with pytest.raises(KeyError):
        share(range(5), fail_at_once)
    done: list[int] = []
    share(range(5), done.extend)
    assert sorted(done) == [0, 1, 2, 3, 4]


def test_no_worker_is_at_work_any_more_when_an_exception_is_raised() -> None:
    done: list[int] = []

    def work(items: Iterator[int]) -> None:
        for item in items:
            if item == 0:
                raise KeyError(item)
            time.sleep(0.02)
            done.append(item)

    with pytest.raises(KeyError):
        share(range(6), work)
    seen = len(done)
    time.sleep(0.2)
    assert len(done) == seen


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_thread_count_is_left_as_it_was(threads: int) -> None:
    torch.set_num_threads(threads)
    share(range(20), list)
    assert (torch.get_num_threads(), threads_of_a_new_thread()) == (threads, threads)


def test_the_thread_count_is_left_as_it_was_after_an_exception() -> None:
    with pytest.raises(KeyError):
        share(range(20), fail_at_once)
    assert (torch.get_num_threads(), threads_of_a_new_thread()) == (2, 2)
