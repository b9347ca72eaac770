"""A diagnosis: how it reads, that it survives JSON, and what is refused as one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pytest_attn.diagnosis.diagnosis import Diagnosis

ALONE = Diagnosis("scale", "the softmax scale is missing")
EITHER = Diagnosis("scale", "the softmax scale is missing", ("the mask is forgotten", "the bias is ignored"))


def test_one_explanation_reads_as_it_is() -> None:
    assert ALONE.phrase == "the softmax scale is missing"


def test_what_cannot_be_told_apart_is_named_with_an_or() -> None:
    assert EITHER.phrase == "the softmax scale is missing, or the mask is forgotten, or the bias is ignored"


@pytest.mark.parametrize("diagnosis", [ALONE, EITHER])
def test_a_diagnosis_survives_json(diagnosis: Diagnosis) -> None:
    assert Diagnosis.of_dict(json.loads(json.dumps(diagnosis.as_dict()))) == diagnosis


def test_fields_of_a_newer_version_are_left_out() -> None:
    assert Diagnosis.of_dict({**EITHER.as_dict(), "certainty": 0.9}) == EITHER


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        ("scale", "^Diagnosis: 'scale' is not a mapping of its fields$"),
        ({"words": "wrong"}, "^Diagnosis: without kind, which it needs$"),
        ({"kind": "cosmic ray", "words": "wrong"}, "^Diagnosis: kind is 'cosmic ray'; allowed: 'tail', 'lost keys', "),
        ({"kind": "scale", "words": "wrong", "alternatives": "none"}, "^Diagnosis: alternatives is 'none'; allowed: "),
    ],
)
def test_what_is_no_diagnosis_is_refused(plain: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Diagnosis.of_dict(plain)  # type: ignore[arg-type]


def test_reading_diagnoses_needs_no_torch() -> None:
    code = "import sys, pytest_attn.diagnosis.diagnosis; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
