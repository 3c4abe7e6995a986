"""Models: Lightning modules made of phases (`ser.training.phased`), and scikit-learn estimators.

As a recogniser, either is fitted on the training split and returns class probabilities.
"""
