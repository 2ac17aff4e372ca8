"""Reading .npy files from several threads at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from macro_splat.utils.npy import load_npy


def test_threads_get_what_was_written(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.npy" for i in range(8)]
    for i, path in enumerate(paths):
        np.save(path, np.full((3, 4), i, np.float32))
    with ThreadPoolExecutor(4) as executor:
        loaded = list(executor.map(load_npy, paths * 25))
    assert [int(array[0, 0]) for array in loaded] == list(range(8)) * 25


def test_no_pickle_is_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickle"):
        load_npy(tmp_path / "a.npy")
