"""A variant that another package registers is judged as the built-in ones are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefix_lm import PrefixLM, attention

import pytest_attn
from pytest_attn.problem.case import Case
from pytest_attn.problem.variants import registry
from pytest_attn.records.record import Record

ID = "b1-h2-s65-d32-bfloat16-prefix20-out-exact"
KERNEL = """
import pytest_attn
from prefix_lm import attention


@pytest_attn.kernel(prefix_length=True)
def {name}(q, k, v, *, scale, prefix_length):
    return attention(q, k, v, scale, prefix_length, {off})
"""


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_VARIANTS", dict(registry.variants()))
    pytest_attn.register_variant(PrefixLM)


def judged(off: int, case: str = ID) -> Record:
    """A kernel whose prefix is `off` keys too long."""

    @pytest_attn.kernel(prefix_length=True)
    def kernel(query: Any, key: Any, value: Any, *, scale: float, prefix_length: int | None) -> Any:
        return attention(query, key, value, scale, prefix_length, off)

    [record] = pytest_attn.check_kernel(kernel, case=[case])
    return record


@pytest.mark.usefixtures("registered")
def test_its_token_is_read_back() -> None:
    case = Case(65, 65, variants=(PrefixLM(20),))
    assert Case.parse(case.id) == case


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("case", [ID, ID.replace("exact", "hiddenkeys"), ID.replace("prefix20-", "")])
def test_a_right_kernel_is_green(case: str) -> None:
    assert judged(0, case).outcome == "passed"


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("off", [-1, 1])
def test_a_prefix_that_is_one_key_off_is_red_and_named(off: int) -> None:
    record = judged(off)
    assert record.outcome == "failed"
    assert record.reason.endswith(f"looks like: prefix_length has length {20 + off}, expected 20")


@pytest.mark.usefixtures("registered")
def test_a_kernel_that_does_not_claim_it_is_not_judged_on_it() -> None:
    [record] = pytest_attn.check_kernel("eager", case=[ID], require=["0"])
    assert (record.outcome, record.reason) == ("not claimed", "not claimed: prefix_length")


def test_without_registration_neither_token_nor_capability_is_known() -> None:
    with pytest.raises(ValueError, match="no variant 'prefix20'"):
        Case.parse(ID)
    with pytest.raises(ValueError, match="unknown capability 'prefix_length'"):
        pytest_attn.kernel(prefix_length=True)


def test_a_capability_that_is_taken_is_refused() -> None:
    class Other(PrefixLM):
        capability = "softcap"

    with pytest.raises(ValueError, match="variant Other: capability 'softcap' is taken by Softcap"):
        pytest_attn.register_variant(Other)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "off", "status"), [("right", 0, 0), ("wrong", 1, 1)])
def test_an_entry_point_makes_it_known_to_the_command_line(tmp_path: Path, name: str, off: int, status: int) -> None:
    metadata = tmp_path / "prefix_lm-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: prefix-lm\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[pytest_attn.variants]\nprefix = prefix_lm:PrefixLM\n")
    (tmp_path / "prefix_lm.py").write_text(Path(__file__).with_name("prefix_lm.py").read_text())
    (tmp_path / "kernel.py").write_text(KERNEL.format(name=name, off=off))
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    words = ["--pyargs", "pytest_attn.suite.test_case", f"--attn-kernel=kernel.py:{name}", f"--attn-case={ID}"]
    found = subprocess.run(
        [sys.executable, "-c", code, *words, "-q", "-p", "no:hypothesispytest"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert found.returncode == status, found.stdout + found.stderr
    assert f"failed {status}" in found.stdout
