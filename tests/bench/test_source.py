"""The hash of a kernel's source."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest
import torch

from pytest_attn.bench.source import UNKNOWN, source_hash
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
