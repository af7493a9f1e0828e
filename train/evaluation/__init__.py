"""How good a model is, and what its data is like: figures, plots, reports."""
