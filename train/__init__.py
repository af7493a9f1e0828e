"""Keras models from data: recipes, training, metrics and plots; writes checkpoints that export takes."""
