"""The project's own experiments and published results. No part of an installation."""
