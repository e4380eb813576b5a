"""One file per data set: which scenes there are, and how to read one."""
