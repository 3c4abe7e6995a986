"""Many runs: grids, sweeps over them, and how far these are."""
