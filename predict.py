"""Label new scans with a trained run: python predict.py run=... scans=... out=...; the same as `al3d predict`."""

from al3d.commands.predict import command

if __name__ == "__main__":
    command(prog_name="predict.py")
