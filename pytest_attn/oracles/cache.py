"""References that were computed before: in memory, and on disk for other processes and later runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

ORACLE_VERSION = 5
"""Part of every key; raised when the numbers of an oracle or of a recipe change, or what a file holds."""

CHECKSUM = "checksum"
"""Name under which a file holds the digest of its tensors."""

LEAST_SECONDS = 0.05
"""A reference that took less is computed again rather than kept on disk, where reading it would take as long."""

GIB = 1 << 30

Tensors = dict[str, Tensor]


class ReferenceCache:
    """Tensors by content key, least recently used first out, in memory and on disk.

    `directory` None keeps everything in memory. Files appear whole (written aside, then renamed), so that several
    processes may share a directory; a file that cannot be read, or whose tensors do not match its checksum, is computed
    again. Limits are in bytes.
    """

    def __init__(self, directory: Path | None = None, *, memory_limit: int = GIB, disk_limit: int = 4 * GIB) -> None:
        self._directory = directory
        self._memory: OrderedDict[str, Tensors] = OrderedDict()
        self._memory_limit = memory_limit
        self._memory_used = 0
        self._disk_limit = disk_limit

    def get(self, content: str, compute: Callable[[], Tensors]) -> Tensors:
        """The tensors of `content`, a text that names all they depend on; computed where no one has them yet."""
        text = f"{ORACLE_VERSION}|{torch.__version__}|{content}"
        key = hashlib.blake2b(text.encode(), digest_size=20).hexdigest()
        found = self._memory.get(key)
        if found is None:
            found = self._read(key)
            if found is None:
                start = time.perf_counter()
                found = compute()
                if time.perf_counter() - start >= LEAST_SECONDS:
                    self._write(key, found)
            self._remember(key, found)
        self._memory.move_to_end(key)
        return found

    def _remember(self, key: str, tensors: Tensors) -> None:
        self._memory[key] = tensors
        self._memory_used += _bytes(tensors)
        while len(self._memory) > 1 and self._memory_used > self._memory_limit:
            _, oldest = self._memory.popitem(last=False)
            self._memory_used -= _bytes(oldest)

    def _read(self, key: str) -> Tensors | None:
        if self._directory is None:
            return None
        path = self._directory / f"{key}.pt"
        try:
            found = torch.load(path, weights_only=True)
        except Exception:
            # Whatever is wrong with the file, and torch.load says it in many ways: it is no reference.
            return None
        if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
            return None
        stored = found.pop(CHECKSUM, None)
        if stored is None or not torch.equal(stored, checksum(key, found)):
            return None
        with contextlib.suppress(OSError):  # a folder that only others may write serves all the same
            os.utime(path)
        return found

    def _write(self, key: str, tensors: Tensors) -> None:
        if self._directory is None or _bytes(tensors) > self._disk_limit:
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            handle, aside = tempfile.mkstemp(dir=self._directory, suffix=".part")
            os.close(handle)
            try:
                torch.save({**tensors, CHECKSUM: checksum(key, tensors)}, aside)
                os.replace(aside, self._directory / f"{key}.pt")
            finally:
                Path(aside).unlink(missing_ok=True)
            self._evict()
        except (OSError, RuntimeError):
            # A full or read-only disk costs the next run time; it is no reason to lose this one's verdict.
            return

    def _evict(self) -> None:
        assert self._directory is not None
        files = []
        for path in self._directory.glob("*.pt"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process evicted it
                continue
            files.append((status.st_mtime, status.st_size, path))
        excess = sum(size for _, size, _ in files) - self._disk_limit
        for _, size, path in sorted(files):
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size


def checksum(key: str, tensors: Tensors) -> Tensor:
    """Digest, uint8 `[16]`, of all that a file says: whose it is, and each tensor's name, dtype, shape and bytes."""
    digest = hashlib.blake2b(key.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"|{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)


def _bytes(tensors: Tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
