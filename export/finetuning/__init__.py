"""Chains of passes, each pass trained in a child process of its own."""
