"""One file a recipe; see `edgewright.train.recipe` for what it sets."""
