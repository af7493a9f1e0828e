"""The steps of an export, done in child processes and kept in a cache."""
