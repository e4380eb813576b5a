"""Run active learning: python train.py dataset=... seed=... acquire=... (see conf/ for every choice); the same as `al3d train`."""

from al3d.commands.train import main  # it holds what Hydra's tab completion looks for in a script: @hydra.main

if __name__ == "__main__":
    main()
