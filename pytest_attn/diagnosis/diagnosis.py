"""What a diagnosis says."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_attn.problem.kinds import Kind


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a kernel: the kind of bug, and in a person's words with figures what was seen."""

    kind: Kind
    phrase: str
