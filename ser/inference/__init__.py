"""Finished runs put to use: loaded, tested on other corpora, asked about new recordings."""
