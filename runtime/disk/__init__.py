"""What is read from and written to disk, with suspicion and without half-written files."""
