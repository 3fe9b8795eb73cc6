"""Inference: engines that answer, strategies that think longer, statutes that are looked up, documents that are read."""
