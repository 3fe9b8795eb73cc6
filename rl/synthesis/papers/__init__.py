"""Exam papers: the text of a paper becomes choice questions with their right options."""
