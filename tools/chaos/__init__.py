"""``make chaos``: faults at random moments of small runs, and what was lost (docs/guides/reliability.md)."""
