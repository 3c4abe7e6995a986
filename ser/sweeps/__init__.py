"""Grids, sweeps over them and their progress."""
