"""Turn raw data into the store once: python prepare.py dataset=...; the same as `al3d prepare`."""

from al3d.commands.prepare import main  # it holds what Hydra's tab completion looks for in a script: @hydra.main

if __name__ == "__main__":
    main()
