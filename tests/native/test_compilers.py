"""The command line of each compiler; none of them runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_attn.kernels.native import Compiler

SOURCE = Path("/src/fa.cpp")
ASCEND = {"PTO_LIB_PATH": "/pto", "ASCEND_TOOLKIT_HOME": "/cann"}


@pytest.mark.parametrize(
    ("compiler", "line"),
    [
        (Compiler.gnu(), "g++ -shared -fPIC -pthread -O3 -march=native -std=c++17 /src/fa.cpp"),
        (
            Compiler.gnu("-O2", command="gcc", include=(Path("/inc"),)),
            "gcc -shared -fPIC -pthread -O2 -I/inc /src/fa.cpp",
        ),
        (Compiler.clang("-O2"), "clang++ -shared -fPIC -pthread -O2 /src/fa.cpp"),
        (
            Compiler.nvcc(architecture="sm_90"),
            "nvcc -shared -Xcompiler -fPIC -arch=sm_90 -O3 -std=c++17 /src/fa.cpp",
        ),
        (
            Compiler.bisheng(environment=ASCEND),
            "bisheng -fPIC -shared -xcce --npu-arch=dav-2201 -O2 -std=c++17 -Wno-ignored-attributes -I/pto/include "
            "-I/pto/kernels/manual/a2a3/flash_atten -I/cann/include /src/fa.cpp",
        ),
        (
            Compiler.bisheng("-O3", environment={"NPU_ARCH": "dav-3510"}, include=(Path("/own"),)),
            "bisheng -fPIC -shared -xcce --npu-arch=dav-3510 -O3 -I/own /src/fa.cpp",
        ),
    ],
    ids=["gnu", "gnu-of-c", "clang", "nvcc", "bisheng", "bisheng-of-another-npu"],
)
def test_the_command_line(compiler: Compiler, line: str) -> None:
    assert " ".join(compiler.words(SOURCE)) == line


@pytest.mark.parametrize(("flag", "expected"), [("-march=native", True), ("-march=x86-64-v3", False)])
def test_what_depends_on_the_processor_is_known_by_its_flag(flag: str, expected: bool) -> None:
    assert Compiler.gnu(flag).of_this_machine is expected
