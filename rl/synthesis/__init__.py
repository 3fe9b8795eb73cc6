"""From documents to training data."""
