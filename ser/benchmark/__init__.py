"""Results that others can check: split files, published runs, submissions, and their verification.

A *protocol folder* has the splits of one corpus, target and fold, and beside them a folder for each
system with its predictions. Everything in it can be verified without audio.
"""
