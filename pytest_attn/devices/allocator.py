"""The allocator of a process that measures: what a kernel frees stays with the process, and is there for its next call.

A kernel made of many small calls asks for new memory in each. As glibc comes, large blocks go back to the system when
they are freed, and every page of the next one is fetched and cleared anew: README's `my_flash` takes 1900 to 2600 of
them in a call of 11 ms, a fourth of its time, and how long a page takes depends on where the process and its neighbours
happen to be. What a server with a warm allocator waits for is the rest.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from types import MappingProxyType

WARM: Mapping[str, str] = MappingProxyType({"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)})
"""The environment in which glibc neither maps blocks of their own nor trims its heap; other C libraries ignore it."""

COLD: Mapping[str, str] = MappingProxyType({"MALLOC_MMAP_MAX_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"})
"""The environment in which freed memory goes back at once, so that what is resident is what is in use."""


def warmed() -> dict[str, str]:
    """What a process that measures finds in its environment; a variable that the user has set stays as it is."""
    return {name: value for name, value in WARM.items() if name not in os.environ}


def is_warm() -> bool:
    """Whether this process keeps what it frees."""
    return platform.libc_ver()[0] == "glibc" and all(os.environ.get(name) == value for name, value in WARM.items())
