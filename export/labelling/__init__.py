"""A pool of pictures without labels: what is asked about it, who answers, and what that proves."""
