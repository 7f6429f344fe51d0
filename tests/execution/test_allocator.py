"""Memory that is freed stays with the process that trains, and not beyond."""

import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kdbench.execution import allocator

#: Of the smallest pages.
PAGES, PAGE = 16_384, resource.getpagesize()


def fresh_pages():
    """How many pages the system had to give for a tensor of `PAGES`."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(PAGES * PAGE // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(allocator._glibc() is None, reason="needs glibc")
def test_what_is_freed_is_used_again_and_given_back_at_the_end():
    def held():
        return int(Path("/proc/self/statm").read_text().split()[1])

    with allocator.freed_memory_kept():
        # The first times may find a place that is a little too short.
        assert min(fresh_pages() for _ in range(20)) < PAGES // 16
        inside = held()
    assert held() <= inside - PAGES // 2


@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_another_c_library_is_left_alone(platform, monkeypatch):
    allocator._glibc.cache_clear()
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: SimpleNamespace())
    try:
        with allocator.freed_memory_kept():
            pass
        assert allocator._glibc() is None
    finally:
        allocator._glibc.cache_clear()
