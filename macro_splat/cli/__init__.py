"""The command `macro-splat`: one small file per subcommand.

Each offers one function of one config, whose fields are the options; its docstring is the command's help. A config
lives in the room that does the work. What is heavy is imported in functions, so that `macro-splat --help` answers at
once.
"""
