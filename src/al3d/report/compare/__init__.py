"""Whole studies: `python -m al3d.report.compare RUN... --out study.html` says which methods beat random, with areas, tests and curves."""
