"""A shared library made of a source, once for each content."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pytest_attn.devices.machine import processor
from pytest_attn.kernels.native.compiler import Compiler

SECONDS = 300.0
"""Time that a compiler may take."""

SHOWN_LINES = 12
SHOWN_CHARACTERS = 1500
"""So much of what a compiler says is shown, its errors first."""

OUTPUT_BYTES = 2**20
"""So much of what a compiler says is read: templates can make it say far more than anyone reads."""


class BuildError(ValueError):
    """A source without a library; its text is one sentence that says why, then what the compiler said."""


@dataclass(frozen=True, slots=True)
class Build:
    """A C or C++ source and how it is compiled. Two are equal where they would run the same command.

    `folder` keeps the libraries, by default `pytest-attn/native` in the user's cache (`XDG_CACHE_HOME`, `~/.cache`).
    """

    source: Path
    compiler: Compiler = field(default_factory=Compiler.gnu)
    seconds: float = SECONDS
    folder: Path | None = None

    def library(self) -> Path:
        """The library, compiled where none of that content is there yet.

        The content: command line, the compiler's `--version`, the source and the headers that its `-MM` names, which
        leaves out those of the system; the processor, where a flag ends in `=native`. Raises BuildError where there is
        no such source or compiler, or the compiler fails or does not end.
        """
        if not self.source.is_file():
            raise BuildError(f"no source {self.source}")
        self._found()
        folder = self.folder or _cache_folder()
        while True:
            made = folder / f"{self.source.stem}-{self._content()}.so"
            if made.exists():
                return made
            self._make(made)
            # A source that was edited while it was compiled is compiled again, under its new name.
            if made.stem.endswith(self._content()):
                return made
            made.unlink(missing_ok=True)

    def files(self) -> tuple[Path, ...]:
        """The source and the headers that are not the system's, as the compiler names them. Raises BuildError."""
        return tuple(Path(word) for word in _prerequisites(self._said(("-MM", "-MT", "made"))))

    def _found(self) -> None:
        command = self.compiler.command
        if shutil.which(command) is None:
            raise BuildError(f"no compiler {command!r} on the PATH to compile {self.source.name} with")

    def _content(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        words = self.compiler.words(self.source.absolute())
        parts = ["\0".join(words), _version(self.compiler.command, self.seconds)]
        parts += [processor()] if self.compiler.of_this_machine else []
        for part in parts:
            digest.update(part.encode() + b"\0\0")
        for file in self.files():
            digest.update(str(file).encode() + b"\0")
            with suppress(OSError):  # gone since it was named: the build says so
                digest.update(hashlib.blake2b(file.read_bytes()).digest())
        return digest.hexdigest()

    def _make(self, made: Path) -> None:
        """Compile into a folder of its own and move the library to its place, which others may do at the same time."""
        try:
            made.parent.mkdir(parents=True, exist_ok=True)
            own = tempfile.TemporaryDirectory(prefix="building-", dir=made.parent)
        except OSError as error:
            raise BuildError(f"{made.parent} cannot keep libraries: {error}; allowed: another XDG_CACHE_HOME") from None
        with own as folder:
            library = Path(folder, made.name)
            self._said(("-o", str(library)))
            if not library.is_file():
                raise BuildError(f"{self.compiler.command} ended without an error and made no library")
            library.replace(made)

    def _said(self, more: tuple[str, ...]) -> str:
        words = self._without_linking() if more[0] == "-MM" else self.compiler.words(self.source.absolute())
        status, output = _ran((*words, *more), self.seconds)
        if status is None:
            raise BuildError(
                f"{self.compiler.command} did not end within {self.seconds:g} s on {self.source.name}{_shown(output)}"
            )
        if status:
            how = f"was ended by signal {-status}" if status < 0 else f"failed with status {status}"
            raise BuildError(f"{self.compiler.command} {how} on {self.source.name}{_shown(output)}")
        return output

    def _without_linking(self) -> tuple[str, ...]:
        return tuple(word for word in self.compiler.words(self.source.absolute()) if word != "-shared")

    @property
    def command(self) -> str:
        """The command line, for a shell, without the name of what it makes."""
        return shlex.join(self.compiler.words(self.source.absolute()))


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-attn" / "native"


@cache
def _version(command: str, seconds: float) -> str:
    status, output = _ran((command, "--version"), seconds)
    if status != 0:
        raise BuildError(f"{command} --version gives no version{_shown(output)}")
    return f"{shutil.which(command)}\n{output}"


def _ran(words: tuple[str, ...], seconds: float) -> tuple[int | None, str]:
    """Exit status and output of a command; None where it did not end in time, when all that it started is ended."""
    with tempfile.TemporaryFile() as output:
        environment = {**os.environ, "LC_ALL": "C"}
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        status: int | None = None
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if status is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return status, output.read(OUTPUT_BYTES).decode(errors="replace")


def _prerequisites(rule: str) -> list[str]:
    """The files of a rule for make: those behind its colon, with escaped blanks and broken lines."""
    _, _, files = rule.replace("\\\n", " ").partition(":")
    return [re.sub(r"\\(.)", r"\1", word).replace("$$", "$") for word in re.findall(r"(?:\\.|\S)+", files)]


def _shown(output: str) -> str:
    """What a compiler said, the lines from its first error on, bounded."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    first = next((at for at, line in enumerate(lines) if "error" in line.lower()), 0)
    lines = lines[first : first + SHOWN_LINES]
    text = "\n".join(lines)[:SHOWN_CHARACTERS]
    return f":\n{text}" if text else ", and said nothing"
