"""What is good: verdicts on completions. Imports neither torch nor ray."""
