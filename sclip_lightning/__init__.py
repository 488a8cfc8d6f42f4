"""Evaluate training-free open-vocabulary segmentation with PyTorch Lightning."""

__version__ = "0.1.0"
