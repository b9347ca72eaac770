"""The pytest plugin, as the entry point names it: the hooks and fixtures, each from the file that explains it."""

from pytest_attn.plugin.fixtures import attn, attn_cell, block_shape, device, dtype, frame_widths, kernel, problem
from pytest_attn.plugin.hooks import (
    pytest_addoption,
    pytest_benchmark_update_json,
    pytest_collection_finish,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_generate_tests,
    pytest_pycollect_makeitem,
    pytest_report_header,
    pytest_runtest_makereport,
    pytest_sessionfinish,
    pytest_sessionstart,
    pytest_terminal_summary,
)
from pytest_attn.plugin.latency import attn_benchmark, attn_repetition

__all__ = [
    "attn",
    "attn_benchmark",
    "attn_cell",
    "attn_repetition",
    "block_shape",
    "device",
    "dtype",
    "frame_widths",
    "kernel",
    "problem",
    "pytest_addoption",
    "pytest_benchmark_update_json",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_pycollect_makeitem",
    "pytest_report_header",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "pytest_sessionstart",
    "pytest_terminal_summary",
]
