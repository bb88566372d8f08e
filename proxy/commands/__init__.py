"""The commands of the command line, each a module with ``run``."""


class CommandFailed(Exception):
    """A command cannot do what it should; the message says why."""
