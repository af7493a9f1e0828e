"""What this machine gives: processor features, cores and threads, child processes."""
