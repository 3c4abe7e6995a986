"""Train one system on one fold with one seed, and test it once: `python train.py --help`."""

import sys

from ser.runs.command import main

if __name__ == "__main__":
    main(sys.argv[1:])
