"""Label new scans with a trained run: python predict.py run=... scans=... out=... (--help lists the options)."""

import sys

from al3d.command import print_help
from al3d.predict.usage import USAGE

if __name__ == "__main__":
    if "--help" in sys.argv:
        print_help(USAGE)
    from al3d.predict.command import main  # slow to import

    main(sys.argv[1:])
