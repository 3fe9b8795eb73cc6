"""Self-contained HTML pages about one run and about several; imports neither torch, ray nor vllm."""
