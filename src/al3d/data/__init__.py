"""From raw files to batches: sources, the store, the oracle and the data module."""
