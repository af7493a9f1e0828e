"""Keras files as one function of an image batch: opened or told what they are, float32, channels last."""
