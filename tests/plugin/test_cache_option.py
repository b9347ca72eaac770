"""--attn-cache: where references are kept for later runs."""

from __future__ import annotations

import pytest
import torch

from pytest_attn.oracles.cache import CHECKSUM, checksum

DEFAULT = ".pytest_cache/d/attn"


@pytest.fixture(autouse=True)
def every_reference_is_worth_a_file(monkeypatch):
    monkeypatch.setattr("pytest_attn.oracles.cache.LEAST_SECONDS", 0.0)


def stored(folder):
    return sorted(folder.rglob("*.pt"))


def spoil(folder):
    for path in stored(folder):
        wrong = {name: tensor + 1 for name, tensor in torch.load(path).items() if name != CHECKSUM}
        torch.save({**wrong, CHECKSUM: checksum(path.stem, wrong)}, path)


def test_by_default_references_lie_in_the_cache_folder_of_pytest(judge, pytester):
    judge().assert_outcomes(passed=1)
    assert stored(pytester.path / DEFAULT)


def test_a_later_run_reads_them(judge, pytester):
    judge()
    spoil(pytester.path / DEFAULT)
    judge().assert_outcomes(failed=1)


def test_off_neither_writes_nor_reads_them(judge, pytester):
    result = judge("--attn-cache=off")
    result.stdout.fnmatch_lines(["attn *, cache: off*"])
    assert not stored(pytester.path)
    judge()
    spoil(pytester.path)
    judge("--attn-cache=off").assert_outcomes(passed=1)


def test_a_folder_takes_them(judge, pytester):
    judge("--attn-cache=kept/references").assert_outcomes(passed=1)
    assert stored(pytester.path / "kept" / "references") == stored(pytester.path)


def test_another_seed_is_another_reference(judge, pytester):
    judge("--attn-seed=1")
    first = stored(pytester.path)
    judge("--attn-seed=2").assert_outcomes(passed=1)
    assert len(stored(pytester.path)) == 2 * len(first)


@pytest.mark.parametrize("change", [lambda whole: whole[:1000], lambda whole: b"half a file"], ids=["cut", "text"])
def test_a_file_that_cannot_be_read_is_computed_again(judge, pytester, change):
    judge()
    for path in stored(pytester.path):
        path.write_bytes(change(path.read_bytes()))
    judge().assert_outcomes(passed=1)


def test_without_the_cache_of_pytest_nothing_is_kept(judge, pytester):
    result = judge("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["attn *, cache: off*"])
    assert not stored(pytester.path)


def test_the_ini_twin_sets_it(judge, pytester):
    pytester.makeini("[pytest]\nattn_cache = kept")
    judge()
    assert stored(pytester.path / "kept") == stored(pytester.path)


def test_an_empty_path_is_refused(refusal):
    said = refusal("--attn-cache=")
    assert said.startswith("--attn-cache: ")
    assert "allowed: " in said


def test_a_file_in_its_place_is_refused(refusal):
    said = refusal("--attn-cache=kernels.py")
    assert said.startswith("--attn-cache: ")
    assert "kernels.py" in said
