"""Fault tests of whatworks; ``python -m faults smoke|full`` from a checkout."""
