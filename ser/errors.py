"""The one exception that a user is meant to read.

Its message names what was wrong, where, and what would be right. `train.py` and `python -m ser`
print it without a traceback; every other exception is a defect of ours and keeps its traceback.
"""


class UserError(Exception):
    """Something that the user can put right: a path, an option, a file, a combination."""
