"""Ways to spend more tokens on a question for a better answer, after Unilaw-R1 (arXiv 2510.10072, section 3.4)."""
