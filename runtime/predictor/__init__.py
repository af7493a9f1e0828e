"""From a bundle or a lone model file to labels."""

from edgewright.runtime.predictor.loading import Threads, load, recommended
from edgewright.runtime.predictor.predictor import FailedImage, Prediction, Predictor

__all__ = ["FailedImage", "Prediction", "Predictor", "Threads", "load", "recommended"]
