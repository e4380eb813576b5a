"""The commands of `al3d`, one file each, thin: what they compute lies in lower modules, which a command imports when it runs.

A file NAME.py holds a click command called `command`; the first line of its docstring is what `al3d` says of it.
"""
