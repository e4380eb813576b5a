"""`python -m al3d` is `al3d`."""

from al3d.door import al3d

if __name__ == "__main__":
    al3d(prog_name="al3d")
