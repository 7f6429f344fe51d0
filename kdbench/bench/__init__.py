"""Benchmarks: what is timed, how, and how two results compare."""
