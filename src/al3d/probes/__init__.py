"""Descriptions of every point, and the small classifiers that are trained on them."""
