"""A library is made once for each content, and a failure says why and leaves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from native_bugs import NEEDS_GNU

from pytest_attn.kernels.native import Build, BuildError, Compiler
from pytest_attn.kernels.native import build as module

pytestmark = NEEDS_GNU

ADD = '#include "more.hpp"\nextern "C" int add(int a) { return a + MORE; }\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "more.hpp").write_text("#define MORE 1\n")
    (tmp_path / "add.cpp").write_text(ADD)
    return tmp_path / "add.cpp"


def build_of(source: Path, *flags: str, command: str = "g++", seconds: float = 60.0) -> Build:
    compiler = Compiler.gnu(*(flags or ("-O0",)), command=command)
    return Build(source, compiler, seconds=seconds, folder=source.parent / "kept")


def script(path: Path, text: str) -> str:
    """A compiler of a few lines of shell."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def kept(source: Path) -> list[str]:
    folder = source.parent / "kept"
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_the_same_content_is_compiled_once(source: Path) -> None:
    first = build_of(source).library()
    made = first.stat().st_mtime_ns
    assert build_of(source).library() == first
    assert (first.stat().st_mtime_ns, kept(source)) == (made, [first.name])


@pytest.mark.parametrize("changed", ["add.cpp", "more.hpp"])
def test_a_changed_source_or_header_is_another_library(changed: str, source: Path) -> None:
    before = build_of(source).library()
    file = source.with_name(changed)
    file.write_text(file.read_text() + "\n// changed\n")
    assert build_of(source).library() != before


def test_other_flags_are_another_library(source: Path) -> None:
    assert build_of(source, "-O1").library() != build_of(source, "-O0").library()


def test_another_version_of_the_compiler_is_another_library(source: Path) -> None:
    versioned = 'case "$1" in --version) cat "$0.version";; *) exec g++ "$@";; esac'
    command = script(source.parent / "cxx", versioned)
    version = Path(command + ".version")
    names = []
    for text in ("1.0", "2.0"):
        version.write_text(text)
        module._version.cache_clear()
        names.append(build_of(source, command=command).library())
    assert names[0] != names[1]


def test_another_processor_is_another_library_where_code_is_for_this_one(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for flags, differ in ((("-march=native",), True), (("-O0",), False)):
        names = []
        for name in ("one", "two"):
            monkeypatch.setattr(module, "processor", lambda name=name: name)
            names.append(build_of(source, *flags).library())
        assert (names[0] != names[1]) is differ


def test_a_source_with_an_error_says_so_and_leaves_nothing(source: Path) -> None:
    source.write_text(ADD + "int broken = nothing;\n")
    with pytest.raises(BuildError) as refused:
        build_of(source).library()
    assert str(refused.value).startswith("g++ failed with status 1 on add.cpp:\n")
    assert "add.cpp:3:14: error: 'nothing' was not declared in this scope" in str(refused.value)
    assert kept(source) == []


def test_a_header_that_is_missing_is_the_compilers_own_error(source: Path) -> None:
    source.with_name("more.hpp").unlink()
    with pytest.raises(BuildError, match=r"error: more\.hpp: No such file or directory"):
        build_of(source).library()


def test_what_a_compiler_says_is_bounded(source: Path) -> None:
    source.write_text("".join(f"int x{i} = nothing{i};\n" for i in range(500)))
    with pytest.raises(BuildError) as refused:
        build_of(source).library()
    assert len(str(refused.value)) < module.SHOWN_CHARACTERS + 200


def test_a_missing_compiler_is_one_sentence(source: Path) -> None:
    with pytest.raises(BuildError, match=r"^no compiler 'no-such-c\+\+' on the PATH to compile add\.cpp with$"):
        build_of(source, command="no-such-c++").library()


def test_a_missing_source_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"^no source .*/none\.cpp$"):
        build_of(tmp_path / "none.cpp").library()


def test_a_compiler_that_hangs_is_ended_with_all_that_it_started(source: Path) -> None:
    alive = source.parent / "alive"
    hanging = f'case "$1" in --version) echo 1;; *) echo started; (sleep 1; touch {alive}) & wait;; esac'
    command = script(source.parent / "hangs", hanging)
    before = time.monotonic()
    with pytest.raises(BuildError, match=r"hangs did not end within 0\.5 s on add\.cpp:\nstarted$"):
        build_of(source, command=command, seconds=0.5).library()
    time.sleep(max(0.0, before + 1.9 - time.monotonic()))
    assert not alive.exists()
    assert kept(source) == []


def test_a_compiler_that_makes_nothing_is_found(source: Path) -> None:
    command = script(source.parent / "idle", "echo made: add.cpp")
    with pytest.raises(BuildError, match=r"idle ended without an error and made no library$"):
        build_of(source, command=command).library()


def test_a_compiler_that_dies_is_found(source: Path) -> None:
    command = script(source.parent / "dies", 'case "$1" in --version) echo 1;; *) kill -SEGV $$;; esac')
    with pytest.raises(BuildError, match=r"dies was ended by signal 11 on add\.cpp, and said nothing$"):
        build_of(source, command=command).library()


def test_a_source_that_changes_while_it_is_compiled_is_compiled_again(source: Path) -> None:
    mark, header = source.parent / "changed", source.with_name("more.hpp")
    edit = f'test -e {mark} || {{ touch {mark}; sed -i "s/MORE 1/MORE 2/" {header}; }}'
    editing = f'case "$*" in *" -o "*) {edit};; esac'
    command = script(source.parent / "edits", editing + '\nexec g++ "$@"')
    made = build_of(source, command=command).library()
    assert [made.name] == kept(source)
    code = f"import ctypes; print(ctypes.CDLL({str(made)!r}).add(40))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"42\n"


def test_many_may_build_the_same_at_once(source: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: build_of(source).library(), range(4)))
    (made,) = found
    assert kept(source) == [made.name]


@pytest.mark.slow
def test_two_processes_may_build_the_same_at_once(source: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pytest_attn.kernels.native import Build, Compiler\n"
        "source, folder = map(Path, sys.argv[1:]); sys.stdin.read()\n"
        "print(Build(source, Compiler.gnu('-O0'), folder=folder).library())"
    )
    command = [sys.executable, "-c", code, str(source), str(source.parent / "kept")]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:  # neither starts before both are there
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    made = {process.communicate()[0].strip() for process in both}
    assert [Path(path).name for path in made] == kept(source)


def test_names_with_blanks_are_headers_too(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "more.hpp").write_text("#define MORE 1\n")
    (folder / "add.cpp").write_text(ADD)
    assert [file.name for file in build_of(folder / "add.cpp").files()] == ["add.cpp", "more.hpp"]
    assert all(file.is_file() for file in build_of(folder / "add.cpp").files())


def test_a_folder_that_cannot_be_written_is_one_sentence(source: Path) -> None:
    (source.parent / "kept").write_text("a file")
    with pytest.raises(BuildError, match=r"kept cannot keep libraries: .*; allowed: another XDG_CACHE_HOME$"):
        build_of(source).library()
