"""The one error class for everything that a user can cause and mend."""


class MacroSplatError(Exception):
    """A problem of the input or the machine, told in one line that names the file and the value and the remedy.

    The command line prints it without a traceback and exits with 1; every other exception is a bug and keeps its
    traceback.
    """
