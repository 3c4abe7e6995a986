"""Recognisers: features in, class logits out.

Two kinds under one small contract: fitted on the training part, they give probabilities. Lightning
modules made of phases (`ser.training.phased`), and scikit-learn estimators (`ser.models.svm`, ...).
"""
