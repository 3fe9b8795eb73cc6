"""Backends: vLLM engines on Ray, an OpenAI-compatible server, and transformers in this process."""
