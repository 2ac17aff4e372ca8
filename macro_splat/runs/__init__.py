"""What a training left behind: found, checked and loaded, with one clear line for everything that may be wrong."""

from macro_splat.runs.load import Run, find_run, load_run

__all__ = ["Run", "find_run", "load_run"]
