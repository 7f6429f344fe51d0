"""Benchmarks of the source tree: suites for pytest-benchmark, and a whole measurement on a GPU."""
