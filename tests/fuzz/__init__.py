"""Every parser of ours on mutated files: it returns or raises MacroSplatError, in bounded time and memory, and does
nothing else. `test_fuzz.py` is a slice for the suite; `python -m tests.fuzz.run` and `python -m tests.fuzz.atheris_run`
are for long runs."""
