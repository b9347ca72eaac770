"""Files that are read whole, and written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def read_bytes(path: Path) -> bytes:
    """What a file holds. Raises ValueError, one sentence, where it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path}: the file is gone") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None


def write_whole(path: Path, content: bytes, *, replace: bool = False) -> None:
    """The whole file or none of it; an existing one stays unless it is to be replaced.

    Raises ValueError, one sentence, where it is there already or cannot be written.
    """
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o644)
        if not replace and path.exists():
            raise ValueError(f"{path}: is there already, and nothing is overwritten")
        os.replace(aside, path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        if aside:
            Path(aside).unlink(missing_ok=True)
