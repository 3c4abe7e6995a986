"""The data of a run: targets, folds, standardisation, batches."""
