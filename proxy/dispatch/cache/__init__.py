"""Answers that were given, to be given again: where they are kept."""
