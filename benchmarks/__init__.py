"""Benchmarks of whatworks; ``python -m benchmarks smoke|full|report`` from a checkout."""
