"""Labels for new scans: a trained run is loaded, scans are read in chunks, cut into tiles, and written in their own order."""
