"""Questions about the statutes in force whose answers are computed from their texts."""
