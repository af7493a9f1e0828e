"""Measures bundles where they will run: raw samples kept, figures derived, nothing left out."""
