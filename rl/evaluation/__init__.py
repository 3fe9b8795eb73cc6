"""Benchmarks: their metrics as published, and corrected where the published code has a known defect."""
