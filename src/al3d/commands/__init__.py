"""The commands of `al3d`, one thin file each: what they compute lies in lower modules, imported when a command runs.

A file NAME.py holds a click command called `command`; the first line of its docstring is what `al3d` says of it.
"""
