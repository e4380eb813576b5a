"""Whole studies: `al3d compare RUN... --out study.html` says which methods beat random, with areas, tests and curves."""
