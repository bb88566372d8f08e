"""What is measured, each in a file of its own: a function of the bench that gives an ``Outcome``."""
