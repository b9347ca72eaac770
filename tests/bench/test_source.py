"""Where a kernel is written, and the hash of its source."""

from __future__ import annotations

import functools
import inspect
import json
import linecache
import subprocess
import sys
import types

import pytest
import torch

from pytest_attn.bench.kernel_source import KernelSource
from pytest_attn.bench.source import UNKNOWN, kernel_source, source_hash
from pytest_attn.kernels.kernel import as_kernel
from pytest_attn.kernels.resolve import find_kernel

KERNEL = "from beside import product\nimport functools\ndef dense(q, k, v): return product(q, k, v)\n"
BESIDE = "def product(q, k, v): return q\n"


@pytest.fixture
def hash_of(tmp_path):
    """The hash, in a process of its own, of `dense` in a folder with these two files."""

    def found(kernel=KERNEL, beside=BESIDE, folder="first", name="dense"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "mine.py").write_text(kernel)
        (tmp_path / folder / "beside.py").write_text(beside)
        code = (
            "import sys\nfrom pytest_attn.bench.source import source_hash\n"
            "from pytest_attn.kernels.resolve import find_kernel\nprint(source_hash(find_kernel(sys.argv[1])))"
        )
        command = [sys.executable, "-c", code, f"{tmp_path / folder / 'mine.py'}:{name}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    return found


def test_it_is_the_same_in_another_process_and_another_folder(hash_of):
    assert hash_of(folder="first") == hash_of(folder="second")


def test_it_changes_with_the_file_and_with_a_file_beside_it(hash_of):
    changed = BESIDE.replace("return q", "return v")
    assert len({hash_of(), hash_of(kernel=KERNEL + "# slower\n"), hash_of(beside=changed)}) == 3


def test_a_wrapped_function_is_looked_through(hash_of):
    wrapped = KERNEL + "again = functools.partial(dense)\n"
    assert hash_of(kernel=wrapped, name="again") == hash_of(kernel=wrapped, name="dense")


def test_built_in_kernels_have_one():
    hashes = [source_hash(find_kernel(name)) for name in ("eager", "sdpa", "block_sparse")]
    assert len(set(hashes)) == 3
    assert UNKNOWN not in hashes


def test_a_kernel_of_a_class_has_that_of_its_file():
    class Prepared:
        def prepare(self, problem, inputs): ...

    def function(query, key, value): ...

    assert source_hash(as_kernel(Prepared, "class")) == source_hash(as_kernel(function, "function"))


def test_what_has_no_source_is_unknown():
    assert source_hash(as_kernel(torch.add, "torch")) == UNKNOWN


def test_a_function_without_a_file_is_unknown():
    module = types.ModuleType("typed_in")
    exec("def typed(q, k, v): return q", vars(module))
    assert source_hash(as_kernel(module.typed, "typed")) == UNKNOWN


def written(query, key, value):
    """A kernel as an author writes it."""


@functools.wraps(written)
def wrapping(*tensors):
    return written(*tensors)


class Written:
    def prepare(self, problem, inputs): ...


def line_of(words):
    """The line of this file that starts with the words."""
    lines, _ = inspect.getsourcelines(sys.modules[__name__])
    return 1 + next(index for index, line in enumerate(lines) if line.startswith(words))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (written, "def written("),
        (functools.partial(written), "def written("),
        (wrapping, "def written("),
        (functools.lru_cache(written), "def written("),
        (Written, "class Written:"),
    ],
)
def test_the_source_is_what_the_author_wrote(target, words):
    source = kernel_source(as_kernel(target, "mine"), "tests/mine.py:mine")
    assert source == KernelSource(
        spec="tests/mine.py:mine",
        file=__file__,
        line=line_of(words),
        hash=source_hash(as_kernel(written, "written")),
    )


def test_the_file_of_a_kernel_named_by_a_relative_path_is_absolute(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(f"\n{BESIDE}")
    monkeypatch.chdir(tmp_path)
    source = kernel_source(find_kernel("mine.py:product"), "mine.py:product")
    assert (source.file, source.line) == (str(tmp_path / "mine.py"), 2)


def test_a_built_in_kernel_is_in_its_own_file():
    assert kernel_source(find_kernel("naive"), "naive").file.endswith("kernels/builtin/naive.py")


def test_a_function_of_a_notebook_has_a_line_and_no_file(monkeypatch):
    text = "\ndef typed(q, k, v): return q\n"
    module = types.ModuleType("of_a_notebook")
    exec(compile(text, "<cell 3>", "exec"), vars(module))
    cell = (len(text), None, text.splitlines(keepends=True), "<cell 3>")
    monkeypatch.setitem(linecache.cache, "<cell 3>", cell)
    source = kernel_source(as_kernel(module.typed, "typed"), "typed")
    assert (source.file, source.line) == ("", 2)
    assert source.hash != UNKNOWN


def test_what_has_no_source_has_neither_file_nor_line():
    assert kernel_source(as_kernel(torch.add, "torch"), "torch:add") == KernelSource(spec="torch:add", hash=UNKNOWN)


def test_a_source_survives_json():
    source = kernel_source(as_kernel(written, "written"), "written")
    plain = json.loads(json.dumps(source.as_dict()))
    assert KernelSource.of_dict({**plain, "column": 4}) == source


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        ({"file": "a.py"}, "^KernelSource: without spec, hash, which it needs$"),
        ({"spec": "a", "hash": "b", "line": "3"}, "^KernelSource: line is '3'; allowed: a whole number$"),
        (["a.py"], r"^KernelSource: \['a.py'\] is not a mapping of its fields$"),
    ],
)
def test_what_is_no_source_is_refused(plain, says):
    with pytest.raises(ValueError, match=says):
        KernelSource.of_dict(plain)


def test_reading_sources_needs_no_torch():
    code = "import sys, pytest_attn.bench.kernel_source; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
