"""Importing this module registers every reward of the library."""

from rewards import accuracy, format, legal_validity, rouge  # noqa: F401
