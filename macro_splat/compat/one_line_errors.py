"""An error that the user can mend is told in one line; nerfstudio's commands would show a traceback.

Python prints what nobody caught through `sys.excepthook`; ours prints `MacroSplatError`, a full disk, a folder that
cannot be written and memory that does not suffice as one line on stderr, and hands every other exception to the hook
that was there before.
The exit code stays Python's own: 1.

Can go when nerfstudio's commands let a method report its errors.
"""

import errno
import sys
from types import TracebackType

from macro_splat.errors import MacroSplatError
from macro_splat.utils.messages import printable, reason

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, or write elsewhere (ns-train: --output-dir)",
    errno.EDQUOT: "the disk quota is used up: free some space, or write elsewhere (ns-train: --output-dir)",
    errno.EFBIG: "larger than the file system or the limit on files (ulimit -f) allows: write elsewhere",
    errno.EROFS: "the file system is read-only: write elsewhere (ns-train: --output-dir)",
    errno.ENOTDIR: "a file lies where a folder is needed: name another folder (ns-train: --output-dir)",
    errno.ENAMETOOLONG: "the name is longer than the file system allows: rename the file to something shorter",
    errno.EACCES: "permission denied: change its permissions, or write elsewhere (ns-train: --output-dir)",
}
_MEMORY = (
    "end other programs, or ask for less: smaller photographs (ns-train: --pipeline.datamanager.max-image-edge) or "
    "fewer Gaussians (--pipeline.model.max-gaussians, --pipeline.model.num-init-gaussians)"
)


def one_line(error: BaseException) -> str | None:
    """The error in one line if the user can mend it, else None."""
    if isinstance(error, MacroSplatError):
        return printable(" ".join(str(error).split()))  # names of files may hold what steers a terminal
    if isinstance(error, OSError) and error.errno in _REMEDIES and error.filename is not None:
        return f"{error.filename}: {_REMEDIES[error.errno]}"
    if isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
    ):  # a write knows no file name
        return _REMEDIES[error.errno]
    if _is_out_of_memory(error):
        return f"the memory does not suffice: {_MEMORY} ({reason(error, 160)})"
    return None


def _is_out_of_memory(error: BaseException) -> bool:
    """Python's own, numpy's, or torch's, which for processors is known by its words alone."""
    words = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(w in str(error) for w in words))


def install() -> None:
    """Put the hook in front of `sys.excepthook`, once."""
    if getattr(sys.excepthook, "__module__", None) == __name__:
        return
    previous = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        line = one_line(error)
        if line is None:
            previous(kind, error, traceback)
        else:
            print(f"error: {line}", file=sys.stderr)

    sys.excepthook = excepthook
