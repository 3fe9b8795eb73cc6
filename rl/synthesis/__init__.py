"""From documents to training data: recipes of small steps, a teacher that is asked, and what is kept and why."""
