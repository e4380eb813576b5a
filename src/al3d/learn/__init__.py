"""Learning from partial labels: the segmenter, its losses and its metrics."""
