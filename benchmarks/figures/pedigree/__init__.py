"""Which code made a published row, whether that is today's, and what moved when figures were made again."""
