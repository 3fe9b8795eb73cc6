"""Rewards: verdicts on completions. Imports neither torch nor ray."""
