"""The photographs of a training: in memory up to a budget, and beyond it in a file that is mapped when it is read."""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macro_splat.errors import MacroSplatError

GIB = 2**30
SHARE_OF_FREE_MEMORY = 0.5
"""The other half is for the model and its optimizers."""


class TensorStore:
    """Keeps tensors: the first ones in memory, as many as the budget allows, the others in one temporary file.

    Which ones are in memory does not change: training views come up in rounds, and of what a round passes through, a
    cache that drops the least recently used would drop each before its turn.

    The file has no name (where the system allows that), so it is gone when the process is, however that ends.
    """

    def __init__(
        self, budget: int, folder: Path | None = None, to_memory: Callable[[Tensor], Tensor] = lambda tensor: tensor
    ):
        """
        Args:
            budget: bytes to keep in memory.
            folder: where the file lies; see `spill_folder` for None.
            to_memory: puts a tensor where it is kept, on a device, say.
        """
        self._left = budget
        self._folder, self._to_memory = folder, to_memory
        self._file: IO[bytes] | None = None
        self._end = 0
        self._lock = threading.Lock()

    @property
    def bytes_on_disk(self) -> int:
        """Size of the file."""
        return self._end

    def put(self, tensor: Tensor) -> Tensor | Spilled:
        """Keep a tensor of the CPU: returns it, if it stays in memory, or else where it went. Thread-safe.

        Raises:
            MacroSplatError: the disk is full or cannot be written.
        """
        size = tensor.numel() * tensor.element_size()
        with self._lock:
            if size <= self._left:
                self._left -= size
            elif size > 0:
                return self._spill(tensor.contiguous().numpy())
        return self._to_memory(tensor)

    def forget(self, kept: Tensor | Spilled) -> None:
        """Give the memory of a kept tensor back to the budget; the file keeps its size."""
        if isinstance(kept, Tensor):
            with self._lock:
                self._left += kept.numel() * kept.element_size()

    def _spill(self, array: np.ndarray) -> Spilled:
        try:
            if self._file is None:
                # Held open until the store is dropped.
                self._file = tempfile.TemporaryFile(prefix="macro-splat-", dir=spill_folder(self._folder))  # noqa: SIM115
            offset = -(-self._end // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
            self._file.seek(offset)
            self._file.write(array.data.cast("B"))
            self._file.flush()
        except OSError as error:
            raise MacroSplatError(
                f"{spill_folder(self._folder)}: the photographs that exceed the memory budget cannot be written there "
                f"({error.strerror}, after {self._end / GIB:.1f} GiB); free the disk, name another folder with "
                "--pipeline.datamanager.cache-folder, or reduce photographs with --pipeline.datamanager.max-image-edge"
            ) from error
        self._end = offset + array.nbytes
        return Spilled(self._file, offset, array.shape, array.dtype)


@dataclass(frozen=True)
class Spilled:
    """A tensor in a file."""

    file: IO[bytes]
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    def load(self) -> Tensor:
        """The tensor, mapped: it takes memory as it is read, gives it back when it is dropped, and what is written
        into it stays out of the file."""
        mapped = mmap.mmap(self.file.fileno(), self.nbytes, access=mmap.ACCESS_COPY, offset=self.offset)
        return torch.from_numpy(np.frombuffer(mapped, self.dtype).reshape(self.shape))

    def prefetch(self) -> None:
        """Ask the system to read it ahead, where it can."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.file.fileno(), self.offset, self.nbytes, os.POSIX_FADV_WILLNEED)


class CachedView(MutableMapping[str, Any]):
    """What belongs to one photograph: a dictionary whose tensors may lie on the disk until they are looked at.

    What is set is kept, as in any dictionary: tensors go through the store too.
    """

    def __init__(self, store: TensorStore, values: Mapping[str, Any]):
        self._store = store
        self._kept: dict[str, Any] = {}
        self.update(values)

    def __getitem__(self, key: str) -> Any:
        kept = self._kept[key]
        return kept.load() if isinstance(kept, Spilled) else kept

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self._kept:
            del self[key]
        self._kept[key] = self._store.put(value.cpu()) if isinstance(value, Tensor) else value

    def __delitem__(self, key: str) -> None:
        self._store.forget(self._kept.pop(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def copy(self) -> dict[str, Any]:
        """A plain dictionary; tensors are shared or mapped."""
        return dict(self)

    def prefetch(self) -> None:
        """Ask the system to read ahead what lies on the disk."""
        for kept in self._kept.values():
            if isinstance(kept, Spilled):
                kept.prefetch()


class Photographs(Sequence[NDArray]):
    """The photographs of views, [H, W, 3 or 4] each as it is kept; none is held: those on the disk stay there."""

    def __init__(self, views: Sequence[CachedView]):
        self._views = views

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Photographs(self._views[index])
        return self._views[index]["image"].cpu().numpy()


def spill_folder(folder: Path | None) -> Path:
    """The folder itself; for None the one that TMPDIR names, or /var/tmp, because /tmp lies in memory on many systems,
    or the system's folder for temporary files."""
    if folder is not None:
        return folder
    large = Path("/var/tmp")
    if "TMPDIR" not in os.environ and large.is_dir() and os.access(large, os.W_OK):
        return large
    return Path(tempfile.gettempdir())


def free_memory(device: torch.device) -> int:
    """Bytes that nobody uses: of a GPU its own, else the machine's, or the container's where that has a limit."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = _available()
    limit, used = (_number_in(Path(f"/sys/fs/cgroup/memory.{name}")) for name in ("max", "current"))
    if limit is not None and used is not None:
        # What files occupy is given back when it is needed.
        free = min(free, limit - used + (_number_in(Path("/sys/fs/cgroup/memory.stat"), "inactive_file") or 0))
    return max(free, 0)


def _available() -> int:
    available = _number_in(Path("/proc/meminfo"), "MemAvailable:")
    if available is not None:
        return 1024 * available
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:  # macOS tells the whole alone
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 * GIB  # Windows tells neither without further packages; few machines have less


def _number_in(path: Path, name: str | None = None) -> int | None:
    """The number in a file, behind a name if one is given; None if there is none."""
    try:
        words = path.read_text().split()
    except OSError:
        return None
    if name is not None:
        words = words[words.index(name) + 1 :] if name in words else []
    return int(words[0]) if words and words[0].isdigit() else None
