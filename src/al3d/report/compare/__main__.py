"""`python -m al3d.report.compare`."""

from al3d.report.compare.command import main

if __name__ == "__main__":
    main()
