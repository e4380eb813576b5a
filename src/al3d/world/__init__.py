"""Procedural worlds, written in the official raw layouts of real data sets."""
