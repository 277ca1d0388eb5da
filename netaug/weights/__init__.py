"""Weights of other programs, and of earlier runs, into a network: read safely, matched strictly."""

from netaug.weights.files import WeightsFile, read_weights
from netaug.weights.loading import Loaded, load_weights

__all__ = ["Loaded", "WeightsFile", "load_weights", "read_weights"]
