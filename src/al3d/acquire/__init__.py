"""What to label: seeds and acquisition methods as compositions of unit, score, reduction, picker and budget."""
