"""Statutes for questions: indexes over the articles, and search by question. Loads no model and no backend."""
