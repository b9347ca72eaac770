"""The cache of references: computed once, shared, bounded, and never a reason to fail."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_attn.oracles.cache import ReferenceCache

KIB = 1024


@pytest.fixture(autouse=True)
def every_reference_is_worth_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_attn.oracles.cache.LEAST_SECONDS", 0.0)


class Computation:
    """Makes tensors of `size` bytes, all elements `value`, and counts how often."""

    def __init__(self, value: float = 1.0, size: int = KIB) -> None:
        self.tensors = {"lse": torch.full((size // 4,), value)}
        self.calls = 0

    def __call__(self) -> dict[str, Tensor]:
        self.calls += 1
        return self.tensors


def filled(cache: ReferenceCache, *contents: str, size: int = KIB) -> None:
    for content in contents:
        cache.get(content, Computation(size=size))


def asked_again(cache: ReferenceCache, *contents: str) -> list[str]:
    """Those of `contents` that have to be computed again."""
    computations = {content: Computation() for content in contents}
    for content, compute in computations.items():
        cache.get(content, compute)
    return [content for content, compute in computations.items() if compute.calls]


def age(directory: Path, seconds: int) -> None:
    """Make every file look older than it is."""
    for path in directory.glob("*.pt"):
        when = path.stat().st_mtime - seconds
        os.utime(path, (when, when))


def only_file(directory: Path) -> Path:
    (path,) = directory.glob("*.pt")
    return path


def test_a_content_is_computed_once_in_memory() -> None:
    cache, compute = ReferenceCache(), Computation()
    assert cache.get("a", compute) is cache.get("a", compute)
    assert compute.calls == 1


def test_another_content_is_another_entry() -> None:
    cache = ReferenceCache()
    cache.get("a", Computation(1.0))
    assert cache.get("b", Computation(2.0))["lse"][0] == 2.0


def test_a_second_cache_over_the_directory_reads_what_the_first_computed(tmp_path: Path) -> None:
    filled(ReferenceCache(tmp_path), "a")
    assert asked_again(ReferenceCache(tmp_path), "a") == []


def test_what_is_read_from_disk_is_what_was_computed(tmp_path: Path) -> None:
    made = {"lse": torch.tensor([1.5, -torch.inf]), "out": torch.randn(2, 3, dtype=torch.float64)}
    made |= {"value_square": torch.rand(4).to(torch.bfloat16), "transposed": torch.rand(2, 3).T}
    made |= {"one": torch.tensor(2.5), "none": torch.empty(0, 4)}
    ReferenceCache(tmp_path).get("a", lambda: made)
    found = ReferenceCache(tmp_path).get("a", Computation())
    assert found.keys() == made.keys()
    assert all(torch.equal(found[name], made[name]) and found[name].dtype == made[name].dtype for name in made)


def test_caches_without_a_directory_share_nothing() -> None:
    filled(ReferenceCache(), "a")
    assert asked_again(ReferenceCache(), "a") == ["a"]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "garbage": lambda whole: b"garbage",
    "half": lambda whole: whole[: len(whole) // 2],
    "short": lambda whole: whole[:3],
    "stop of a pickle": lambda whole: b".",
    "key of a pickle": lambda whole: b"h\x05.",
    "zeros": lambda whole: bytes(len(whole)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_corrupt_file_is_computed_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    filled(ReferenceCache(tmp_path), "a")
    path = only_file(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert asked_again(ReferenceCache(tmp_path), "a") == ["a"]


@pytest.mark.parametrize(
    "stored",
    [[1], {}, {"lse": 1}, torch.ones(2), {"lse": torch.ones(2)}, {"lse": torch.ones(2), "checksum": torch.ones(2)}],
    ids=["list", "nothing", "no tensor", "tensor", "no checksum", "no checksum of ours"],
)
def test_a_file_that_holds_something_else_is_computed_again(tmp_path: Path, stored: Any) -> None:
    filled(ReferenceCache(tmp_path), "a")
    torch.save(stored, only_file(tmp_path))
    assert asked_again(ReferenceCache(tmp_path), "a") == ["a"]


def flip_a_bit_of_the_tensor(path: Path) -> None:
    """Flip the lowest bit of the element in the middle; torch.load reads the file as gladly as before."""
    whole = bytearray(path.read_bytes())
    element = torch.ones(1).numpy().tobytes()
    start, stop = whole.index(element * 8), whole.rindex(element * 8)
    whole[start + (stop - start) // 8 * 4] ^= 1
    path.write_bytes(whole)


def test_a_flipped_bit_in_a_file_is_computed_again(tmp_path: Path) -> None:
    filled(ReferenceCache(tmp_path), "a")
    flip_a_bit_of_the_tensor(only_file(tmp_path))
    assert int((torch.load(only_file(tmp_path))["lse"] != 1.0).sum()) == 1
    assert asked_again(ReferenceCache(tmp_path), "a") == ["a"]


def test_a_file_with_a_flipped_bit_is_written_anew(tmp_path: Path) -> None:
    filled(ReferenceCache(tmp_path), "a")
    flip_a_bit_of_the_tensor(only_file(tmp_path))
    filled(ReferenceCache(tmp_path), "a")
    assert asked_again(ReferenceCache(tmp_path), "a") == []


def test_a_file_under_the_name_of_another_is_computed_again(tmp_path: Path) -> None:
    filled(ReferenceCache(tmp_path / "one"), "a")
    filled(ReferenceCache(tmp_path / "two"), "b")
    only_file(tmp_path / "one").write_bytes(only_file(tmp_path / "two").read_bytes())
    assert asked_again(ReferenceCache(tmp_path / "one"), "a") == ["a"]


def test_a_corrupt_file_is_replaced_by_a_readable_one(tmp_path: Path) -> None:
    filled(ReferenceCache(tmp_path), "a")
    only_file(tmp_path).write_bytes(b"garbage")
    filled(ReferenceCache(tmp_path), "a")
    assert asked_again(ReferenceCache(tmp_path), "a") == []


def test_the_memory_limit_forgets_the_least_recently_used() -> None:
    cache = ReferenceCache(memory_limit=2 * KIB)
    filled(cache, "a", "b", "a", "c")
    assert asked_again(cache, "a", "c", "b") == ["b"]


def test_one_entry_beyond_the_memory_limit_is_still_returned() -> None:
    compute = Computation(size=4 * KIB)
    assert ReferenceCache(memory_limit=KIB).get("a", compute) is compute.tensors


def test_what_memory_forgot_is_read_from_disk(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path, memory_limit=KIB)
    filled(cache, "a", "b", "c")
    assert asked_again(cache, "a", "b", "c") == []


def test_the_disk_limit_evicts_the_oldest(tmp_path: Path) -> None:
    # A file is its tensor and about 1.3 KiB of its own: 16 KiB hold two of 6 KiB, not three.
    cache = ReferenceCache(tmp_path, disk_limit=16 * KIB)
    for content in ("old", "middle", "new"):
        filled(cache, content, size=6 * KIB)
        age(tmp_path, 100)
    assert asked_again(ReferenceCache(tmp_path), "old", "middle", "new") == ["old"]


def test_reading_makes_a_file_the_newest(tmp_path: Path) -> None:
    for content in ("a", "b"):
        filled(ReferenceCache(tmp_path), content, size=6 * KIB)
        age(tmp_path, 100)
    filled(ReferenceCache(tmp_path), "a")
    filled(ReferenceCache(tmp_path, disk_limit=16 * KIB), "c", size=6 * KIB)
    assert asked_again(ReferenceCache(tmp_path), "a", "b") == ["b"]


def test_what_exceeds_the_disk_limit_alone_evicts_nothing(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path, disk_limit=4 * KIB)
    filled(cache, "small")
    filled(cache, "large", size=8 * KIB)
    assert asked_again(ReferenceCache(tmp_path), "small", "large") == ["large"]


def test_nothing_is_left_beside_the_files(tmp_path: Path) -> None:
    filled(ReferenceCache(tmp_path, disk_limit=8 * KIB), "a", "b", "c", "d", size=2 * KIB)
    assert {path.suffix for path in tmp_path.iterdir()} == {".pt"}


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(tensors: object, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    filled(ReferenceCache(tmp_path), "a")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_still_returns_the_reference(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    compute = Computation()
    assert ReferenceCache(blocked / "cache").get("a", compute) is compute.tensors


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    filled(ReferenceCache(tmp_path / "new" / "deep"), "a")
    assert asked_again(ReferenceCache(tmp_path / "new" / "deep"), "a") == []


def test_a_file_that_cannot_be_touched_is_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(path: object) -> None:
        raise OSError(30, "Read-only file system")

    filled(ReferenceCache(tmp_path), "a")
    monkeypatch.setattr(os, "utime", read_only)
    assert asked_again(ReferenceCache(tmp_path), "a") == []


def test_an_exception_of_the_computation_is_not_cached(tmp_path: Path) -> None:
    def fails() -> dict[str, Tensor]:
        raise ZeroDivisionError

    cache = ReferenceCache(tmp_path)
    with pytest.raises(ZeroDivisionError):
        cache.get("a", fails)
    assert asked_again(cache, "a") == ["a"]


def test_several_writers_at_once_leave_readable_files(tmp_path: Path) -> None:
    start = threading.Barrier(4)

    def write(value: float) -> None:
        start.wait()
        for content in "abcde":
            ReferenceCache(tmp_path, disk_limit=64 * KIB).get(content, Computation(value, 4 * KIB))

    writers = [threading.Thread(target=write, args=(float(number),)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert asked_again(ReferenceCache(tmp_path), *"abcde") == []
    assert {path.suffix for path in tmp_path.iterdir()} == {".pt"}


def test_what_was_computed_in_no_time_is_not_kept_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_attn.oracles.cache.LEAST_SECONDS", 60.0)
    cache = ReferenceCache(tmp_path)
    filled(cache, "quick")
    assert not list(tmp_path.iterdir())
    assert asked_again(cache, "quick") == []
