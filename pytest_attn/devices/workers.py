"""Single-threaded workers, one per core: many small matrix products in parallel beat one threaded product at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

import torch

Item = TypeVar("Item")


class _Shared(Iterator[Item]):
    """An iterator that several threads draw from, each item once."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()

    def __next__(self) -> Item:
        with self._lock:
            return next(self._items)


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, "pytest-attn")


def share(items: Iterable[Item], work: Callable[[Iterator[Item]], None]) -> None:
    """Run `work` once on each core with an iterator from which all draw; returns when every item is done.

    The number of workers is torch's thread count, which a caller lowers to leave cores to others. Each worker keeps
    its own scratch memory for all the items it draws. The first exception of a worker is raised here.
    """
    threads = torch.get_num_threads()
    shared = _Shared(items)
    if threads == 1:
        work(shared)
        return

    def alone() -> None:
        # torch reads the process-wide count at a thread's first operation; asking first makes that now, not later.
        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)
        work(shared)

    futures = [_pool(threads).submit(alone) for _ in range(threads)]
    try:
        wait(futures)
    finally:
        # A worker's own thread count becomes the default of threads born later; give the caller's count back.
        torch.set_num_threads(threads)
    for future in futures:
        future.result()
