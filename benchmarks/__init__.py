"""Measurements. `python -m benchmarks.bench_<what>` prints a table; pytest runs each once as a test."""
