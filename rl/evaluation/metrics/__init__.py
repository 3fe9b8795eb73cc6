"""Metrics of the benchmarks as their own code computes them, and with known defects fixed."""
