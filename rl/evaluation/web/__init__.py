"""The web page of evaluations: start and watch them, compare runs, read answers, review them blindly."""
