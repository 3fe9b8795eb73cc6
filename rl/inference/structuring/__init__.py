"""Judgments as JSON: sections and elements, by rules and, where asked, a model."""
