"""Predictions of many images, for ``sclip predict``: what is made of each, and what is written about all."""
