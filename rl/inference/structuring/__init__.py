"""Judgments as JSON: sections and elements, by rules and, on request, a model."""
