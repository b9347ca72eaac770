"""Cells that were drawn before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_attn.execution import drawn
from pytest_attn.execution.drawn import drawn_sweep
from pytest_attn.execution.unclaimed import Unclaimed
from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.problem.sweep import Sweep, find_sweep

CLAIMS = Capabilities(lse=True, causal=True, gqa=True, backward=True, head_dims=(64, 72))


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sweeps that were drawn."""
    names: list[str] = []

    def find(name: str, misses: Unclaimed | None = None) -> Sweep:
        names.append(name)
        return find_sweep(name, misses)

    monkeypatch.setattr(drawn, "find_sweep", find)
    return names


def afresh(name: str, claims: Capabilities | None, folder: Path | None) -> Sweep:
    """What another process would have."""
    drawn_sweep.cache_clear()
    return drawn_sweep(name, claims, folder)


@pytest.mark.parametrize("claims", [None, CLAIMS, Capabilities(backward=True, strided=True, variants=("sinks",))])
@pytest.mark.parametrize("name", ["backward", "decode"])
def test_what_is_read_is_what_would_be_drawn(
    tmp_path: Path, draws: list[str], name: str, claims: Capabilities | None
) -> None:
    first, second = (afresh(name, claims, tmp_path) for _ in range(2))
    assert draws == [name]
    assert first == second == find_sweep(name, Unclaimed(claims) if claims else None)


@pytest.mark.parametrize(
    "other",
    [
        replace(CLAIMS, head_dims=(64,)),
        replace(CLAIMS, dtypes=("float16",)),
        replace(CLAIMS, gqa=False),
        replace(CLAIMS, variants=("sinks",)),
        None,
    ],
)
def test_other_claims_are_drawn(tmp_path: Path, draws: list[str], other: Capabilities | None) -> None:
    afresh("decode", CLAIMS, tmp_path)
    assert afresh("decode", other, tmp_path) == find_sweep("decode", Unclaimed(other) if other else None)
    assert len(draws) == 2


def test_other_code_draws_again(tmp_path: Path, draws: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    afresh("backward", CLAIMS, tmp_path)
    monkeypatch.setattr(drawn, "_code", lambda: "another line")
    afresh("backward", CLAIMS, tmp_path)
    assert len(draws) == 2


def test_refusals_are_asked_every_time(tmp_path: Path, draws: list[str]) -> None:
    odd = replace(CLAIMS, refuses={"odd": lambda problem: problem.key_length % 2 == 1})
    for _ in range(2):
        assert not any(case.key_length % 2 for case in afresh("decode", odd, tmp_path))
    assert len(draws) == 2
    assert not [*tmp_path.iterdir()]


def test_a_sweep_of_another_package_is_built_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "home_of", lambda name: "elsewhere")
    afresh("backward", CLAIMS, tmp_path)
    assert not [*tmp_path.iterdir()]


def truncated(text: str) -> str:
    return text[:-100]


def one_cell_less(text: str) -> str:
    kept = json.loads(text)
    kept["ids"]["backward_long"].pop()
    return json.dumps(kept)


def of_no_group(text: str) -> str:
    return json.dumps({"digest": "", "ids": 3})


@pytest.mark.parametrize("spoil", [truncated, one_cell_less, of_no_group, lambda text: "[]", lambda text: ""])
def test_a_file_that_is_not_whole_is_drawn_again(tmp_path: Path, draws: list[str], spoil) -> None:
    right = afresh("backward", CLAIMS, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(spoil(file.read_text()))
    assert afresh("backward", CLAIMS, tmp_path) == right
    assert len(draws) == 2


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert len(afresh("backward", CLAIMS, tmp_path / "file")) > 0


def test_old_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "MOST_FILES", 1)
    for claims in (CLAIMS, replace(CLAIMS, lse=False)):
        afresh("backward", claims, tmp_path)
    assert len([*tmp_path.iterdir()]) == 1


def test_a_session_keeps_them_beside_its_references(tmp_path: Path) -> None:
    from pytest_attn.execution.session import Session
    from pytest_attn.options.options import Options

    drawn_sweep.cache_clear()
    assert len(Session(Options(), tmp_path).sweep("backward", "naive")) > 0
    assert [path.name.partition("-")[0] for path in (tmp_path / "drawn").iterdir()] == ["backward"]
