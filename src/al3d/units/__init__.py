"""Partitioners: how a scene is cut into the units that can be asked for."""
