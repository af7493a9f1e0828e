"""Where a file and its float model part: each layer run by both, on the same pictures."""
