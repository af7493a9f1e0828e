"""Repair before refusal: what is tried on a static 8-bit file that loses too much, before the gate judges."""
