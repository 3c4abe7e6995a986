"""Training by phases: the base module, the trainer, and when to stop."""
