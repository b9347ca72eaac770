"""Galloping and bisecting find the least amount seen."""

from __future__ import annotations

import pytest

from pytest_attn.selfcheck.power.search import PRECISION, Amounts, least_seen


def searched(threshold: float, amounts: Amounts) -> tuple[float | None, list[float]]:
    """What is found where everything from a threshold on is seen, and the amounts that were injected for it."""
    tried: list[float] = []

    def inject(amount: float) -> float:
        tried.append(amount)
        return amount

    return least_seen(inject, lambda _, amount: amount >= threshold, ["one"], amounts)["one"], tried


@pytest.mark.parametrize("threshold", [1, 2, 3, 17, 64, 65, 99, 100])
def test_a_whole_number_is_found_exactly(threshold: int) -> None:
    assert searched(threshold, Amounts(1, 100, whole=True))[0] == threshold


@pytest.mark.parametrize("threshold", [1e-5, 0.003, 0.7, 1.0])
def test_a_share_is_found_to_the_stated_factor_and_is_seen(threshold: float) -> None:
    found, _ = searched(threshold, Amounts(2.0**-24, 1.0))
    assert found is not None
    assert threshold <= found <= threshold * PRECISION


def test_what_is_seen_at_the_least_amount_is_stated_as_that() -> None:
    assert searched(0.0, Amounts(0.125, 1.0))[0] == 0.125


def test_what_is_not_seen_at_the_largest_amount_is_never_seen_and_costs_one_injection() -> None:
    assert searched(101, Amounts(1, 100, whole=True)) == (None, [100])


def test_a_defect_with_one_amount_is_injected_once() -> None:
    assert searched(1, Amounts(1, 1, whole=True)) == (1, [1])


def test_the_number_of_injections_grows_with_the_logarithm() -> None:
    _, tried = searched(9000, Amounts(1, 12_000, whole=True))
    assert len(tried) <= 2 * 14 + 1


def test_judges_share_what_is_injected_and_each_has_its_own_answer() -> None:
    thresholds = {"sharp": 1, "blunt": 32, "blind": 1000}
    tried: list[float] = []

    def inject(amount: float) -> float:
        tried.append(amount)
        return amount

    amounts = Amounts(1, 100, whole=True)
    found = least_seen(inject, lambda name, amount: amount >= thresholds[name], [*thresholds], amounts)
    assert found == {"sharp": 1, "blunt": 32, "blind": None}
    assert sorted(tried)[:3] == [1, 2, 4]
    assert len(tried) == 1 + 6 + 4
