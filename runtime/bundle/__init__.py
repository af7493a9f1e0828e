"""A bundle folder: its manifest, the arrays that came with it, and what they show."""
