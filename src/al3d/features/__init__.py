"""Descriptors of scenes without labels: what a seed can choose by before there is a network."""
