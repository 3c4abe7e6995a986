"""One run, from corpus to tested recogniser."""
