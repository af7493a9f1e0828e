"""A measurement and what is derived of it: the only reader of what bench writes."""
