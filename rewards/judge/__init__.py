"""A language model as judge: prompts, client, cache, and the service that turns samples into verdicts."""
