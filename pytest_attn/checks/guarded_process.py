"""The program of a process in which a C function runs between pages that nobody may touch. It imports nothing of ours.

It is asked, by JSON on standard input, to load a library and call a function once with every tensor at the end of its
pages, and once at their start. Inputs lie in pages that can only be read. What the function must not touch ends it: the
handler of that signal says where, on a pipe of its own.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import sys
from typing import Any

NONE, READ, WRITE = 0, mmap.PROT_READ, mmap.PROT_WRITE
NO_RESERVE = 0x4000
FAILED = ctypes.c_void_p(-1).value
DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""

GUARD = 64 << 20
"""Bytes on either side beyond as many as the tensor has: addresses cost nothing."""

UNWRITTEN = 0xFF
"""Repeated, a NaN in every floating type."""

SIGNAL_INFO = 4
"""SA_SIGINFO: the handler is told the address."""

ADDRESS_AT, CODE_AT, ERROR_AT = 16, 8, 192
"""Where siginfo_t has them, and on x86-64 where ucontext_t has the error code of a page fault, whose second bit says
that it was a write."""

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class SignalAction(ctypes.Structure):
    """struct sigaction of Linux's C libraries."""

    _fields_ = (
        ("handler", HANDLER),
        ("mask", ctypes.c_ubyte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class Pages:
    """A tensor of `size` bytes at the end or the start of pages of its own, between guards."""

    def __init__(self, size: int, side: str, alignment: int) -> None:
        page = mmap.PAGESIZE
        self.size = size
        self.length = -(-size // page) * page
        self.reach = GUARD + self.length
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE
        self.reserved: int = libc.mmap(None, 2 * self.reach + self.length, NONE, flags, -1, 0)
        if self.reserved == FAILED:
            raise MemoryError(f"no addresses for {size} bytes between guard pages")
        self.first: int = self.reserved + self.reach
        self.start: int = self.first if side == "start" else self.first + (self.length - size) // alignment * alignment
        self.protect(READ | WRITE)
        ctypes.memset(self.first, UNWRITTEN, self.length)

    def fill(self, file: int, at: int) -> None:
        """Give the tensor what a file holds from a place on."""
        tensor = memoryview((ctypes.c_char * self.size).from_address(self.start)).cast("B")
        read = 0
        while read < self.size:
            read += os.preadv(file, [tensor[read:]], at + read)

    def protect(self, allowed: int) -> None:
        """What may be done with the pages of the tensor."""
        if self.length and libc.mprotect(self.first, self.length, allowed):
            raise OSError(ctypes.get_errno(), "mprotect")

    def written_beside(self) -> int | None:
        """The offset of a byte beside the tensor, on its own pages, that was written; None where none was."""
        before: bytes = ctypes.string_at(self.first, self.start - self.first)
        end = self.start + self.size
        after: bytes = ctypes.string_at(end, self.first + self.length - end)
        for place, found in ((self.first, before), (end, after)):
            for at, byte in enumerate(found):
                if byte != UNWRITTEN:
                    return place + at - self.start
        return None

    def near(self, address: int) -> bool:
        """Whether an address is in the pages of the tensor or in its guards."""
        return self.reserved <= address < self.reserved + 2 * self.reach + self.length


def installed(handle: Any) -> Any:
    """A handler of what memory that must not be touched raises; it lives as long as what is returned."""
    action = SignalAction(handler=HANDLER(handle), flags=SIGNAL_INFO)
    for number in (signal.SIGSEGV, signal.SIGBUS):
        libc.sigaction(int(number), ctypes.byref(action), None)
    return action


def wrote(context: int) -> bool | None:
    """Whether an access was a write; None where this machine does not say."""
    if os.uname().machine != "x86_64":
        return None
    return ctypes.c_uint64.from_address(context + ERROR_AT).value & 2 != 0


def passed(question: dict[str, Any], side: str) -> tuple[list[tuple[str, Pages]], list[Any]]:
    """The tensors of a call in their pages, by name, and all arguments."""
    memories, values = [], []
    for each in question["arguments"]:
        if "type" in each:
            values.append(getattr(ctypes, each["type"])(each["value"]))
        elif each["size"] is None:
            values.append(ctypes.c_void_p())
        else:
            pages = Pages(each["size"], side, each["alignment"])
            if each["at"] is not None:
                pages.fill(question["contents"], each["at"])
            if each["read_only"]:
                pages.protect(READ)
            memories.append((each["name"], pages))
            values.append(ctypes.c_void_p(pages.start))
    return memories, values


def run(question: dict[str, Any], answer: int) -> None:
    """Load, and call once for each side; the answer to the pipe is what was touched, or that nothing was."""
    try:
        function = ctypes.CDLL(question["library"])[question["symbol"]]
    except OSError as error:
        say(answer, {"unloaded": str(error)})
        return
    except AttributeError:  # said by whoever calls it next, better
        say(answer, {})
        return
    function.restype = ctypes.c_int if question["status"] else None
    for side in question["sides"]:
        try:
            memories, values = passed(question, side)
        except (MemoryError, OSError):  # no room for copies is no fault of the kernel
            break

        def handle(_: int, info: int, context: int, memories: Any = memories, side: str = side) -> None:
            address = ctypes.c_uint64.from_address(info + ADDRESS_AT).value
            code = ctypes.c_int.from_address(info + CODE_AT).value
            found = {"address": address, "code": code, "write": wrote(context), "side": side}
            for name, pages in memories:
                if pages.near(address):
                    found |= {"name": name, "offset": address - pages.start, "size": pages.size}
            say(answer, found)
            os._exit(0)

        action = installed(handle)
        function(*values)
        for name, pages in memories:
            offset = pages.written_beside()
            if offset is not None:
                say(answer, {"name": name, "offset": offset, "size": pages.size, "write": True, "side": side})
                return
        del action
    say(answer, {})


def say(answer: int, found: dict[str, Any]) -> None:
    """The answer, once."""
    os.write(answer, json.dumps(found).encode())


if __name__ == "__main__":
    libc.prctl(DIE_WITH_PARENT, int(signal.SIGKILL))
    run(json.loads(sys.stdin.buffer.read()), int(sys.argv[1]))
