"""Numbers that say how good a trained network is: arrays in, numbers out.

Each measure takes its data in batches (an iterable), holds one batch at a time plus a few sums, adds up in
float64, and accepts NumPy arrays and torch tensors on any device alike. Images are uint8 (0…255, read as
x/255) or floating point with a peak of 1.
"""

from epochal.evidence.metrics import classification, greyness, labels, latent, reconstruction, thickness

__all__ = ["classification", "greyness", "labels", "latent", "reconstruction", "thickness"]
