"""The packaged suite: one test per group of a sweep, under the published names."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter

import pytest

import pytest_attn.suite
from pytest_attn.plugin.marks import CELLS
from pytest_attn.problem.sweep import find_sweep, sweep_names

LSE_TESTS = {
    "test_lse_vs_fias": 448,
    "test_lse_vs_fias_sparse": 512,
    "test_lse_vs_fias_sparse_framed": 128,
    "test_lse_sparse_multihead": 256,
    "test_lse_zero_input": 160,
    "test_lse_shape_and_dtype": 48,
    "test_lse_disabled_returns_empty": 48,
}
RENAMED = {"joint_dense": "test_joint_attn_and_lse_dense", "joint_sparse": "test_joint_attn_and_lse_sparse"}


@pytest.fixture
def counts(collect):
    """How many cells each test has."""

    def count(*arguments):
        return Counter(name.split("[")[0] for name in collect("--pyargs", *arguments))

    return count


def packaged_tests():
    """(sweep, group, name) of every packaged test."""
    for module in pkgutil.iter_modules(pytest_attn.suite.__path__):
        found = vars(importlib.import_module(f"pytest_attn.suite.{module.name}"))
        for name, test in found.items():
            for mark in getattr(test, "pytestmark", []):
                if mark.name == CELLS:
                    yield mark.kwargs["sweep"], mark.kwargs["group"], name


def test_the_lse_module_has_1600_cells_under_the_published_names(counts):
    assert counts("pytest_attn.suite.test_lse") == LSE_TESTS


def test_k_lse_selects_all_of_them_from_the_whole_suite(counts):
    assert counts("pytest_attn.suite", "-k", "lse").items() >= LSE_TESTS.items()


def test_k_takes_parts_of_a_case_id(counts):
    assert counts("pytest_attn.suite.test_lse", "-k", "s24000 and framed and bs128x512") == {
        "test_lse_vs_fias_sparse_framed": 4
    }


@pytest.mark.parametrize("sweep", sweep_names())
def test_every_group_has_one_test_of_its_name(sweep):
    named = [(group, name) for found, group, name in packaged_tests() if found == sweep]
    assert named == [(group, RENAMED.get(group, f"test_{group}")) for group in find_sweep(sweep).groups]


@pytest.mark.parametrize("sweep", sweep_names())
def test_the_ids_of_a_sweep_differ(sweep):
    cases = [case.id for case in find_sweep(sweep)]
    assert len(set(cases)) == len(cases)
