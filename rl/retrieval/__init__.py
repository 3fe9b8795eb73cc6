"""Statutes for questions: searched, put into prompts, and checked in answers."""
