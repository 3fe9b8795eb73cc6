"""Training data: statutes, tasks made from them, corpora and the stream of prompts. Imports neither torch nor ray."""
