"""Inference: engines that answer, strategies that think longer, statutes looked up, documents read."""
