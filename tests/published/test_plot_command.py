"""`python -m pytest_attn plot` on tables that are whole, cut, foreign or without a baseline."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from pytest_attn.__main__ import main

PUBLISHED = Path(__file__).parent / "bsa_910b2.txt"
pytest.importorskip("matplotlib", reason="pictures need matplotlib")


def test_the_published_table_becomes_a_picture_of_sixteen_curves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "speedup.png"
    assert main(["plot", str(PUBLISHED), "--output", str(picture), "--dpi", "40"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "16 curves of 176 rows" in capsys.readouterr().err


def test_a_table_may_come_through_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(PUBLISHED.read_text()))
    assert main(["plot", "-", "-o", str(tmp_path / "speedup.svg")]) == 0
    assert "<svg" in (tmp_path / "speedup.svg").read_text()


def test_the_grid_is_printed_where_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plot", str(PUBLISHED), "-o", str(tmp_path / "a.png"), "--dpi", "40", "--grid"])
    assert "| 128 | 0.8 | 2.84" in capsys.readouterr().out


def test_a_shape_without_a_baseline_is_named_and_the_rest_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "bench.log"
    table.write_text("".join(line for line in PUBLISHED.read_text().splitlines(keepends=True)[1:]))
    assert main(["plot", str(table), "-o", str(tmp_path / "a.png"), "--dpi", "40"]) == 0
    said = capsys.readouterr().err
    assert "BNSD=(1,3,118806,128) block_shape=(128,128) is left out: no time of its reference" in said
    assert "15 curves" in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no row of the table"),
        ("128x128 3 1 118806 118806 128 - 0.00 yes 1572", "line 1: no whole row"),
        ("128x128 3 1 118806 118806 128 (29,1,29,1) 0.90 N/A N/A 24609.61", "none of 1 rows"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    table = tmp_path / "bench.log"
    table.write_text(text)
    assert main(["plot", str(table), "-o", str(tmp_path / "a.png")]) == 4
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()


def test_a_missing_file_a_format_and_a_resolution_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(tmp_path / "none.log")]) == 4
    assert "none.log: No such file" in capsys.readouterr().err
    assert main(["plot", str(PUBLISHED), "-o", str(tmp_path / "a.xyz")]) == 4
    assert "a.xyz: the picture is not written" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["plot", str(PUBLISHED), "--dpi", "0"])
