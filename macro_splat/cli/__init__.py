"""The command `macro-splat`: one small file per subcommand.

Each offers one function whose arguments are the command's and whose docstring is its help. They import what is heavy
inside, so that `macro-splat --help` answers at once.
"""
