"""Refinement of logits or probabilities along the edges of the image."""
