"""The cache: a budget in memory, a file beyond it, and a dictionary that hides the difference."""

from __future__ import annotations

import gc
import mmap
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from macro_splat.data.cache import CachedView, Spilled, TensorStore, free_memory
from macro_splat.errors import MacroSplatError


def _picture(seed: int, shape: tuple[int, ...] = (20, 30, 3)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8))


@settings(max_examples=30, deadline=None)
@given(
    budget=st.integers(0, 20_000),
    dtype=st.sampled_from([torch.uint8, torch.bool, torch.float32, torch.int64]),
    shapes=st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=6),
)
def test_whatever_the_budget_tensors_come_back_as_they_were(budget: int, dtype: torch.dtype, shapes: list) -> None:
    store = TensorStore(budget)
    tensors = [_picture(i, tuple(shape)).to(dtype) for i, shape in enumerate(shapes)]
    views = [CachedView(store, {"image": tensor, "image_idx": i}) for i, tensor in enumerate(tensors)]
    in_memory = 0
    for i, (view, tensor) in enumerate(zip(views, tensors, strict=True)):
        assert view["image_idx"] == i
        assert view["image"].dtype == dtype
        assert torch.equal(view["image"], tensor)
        kept = store.put(tensor)
        in_memory += 0 if isinstance(kept, Spilled) else tensor.numel() * tensor.element_size()
    assert in_memory <= budget


def test_the_first_stay_in_memory_and_the_others_go_to_the_file(tmp_path: Path) -> None:
    store = TensorStore(2 * 1800, tmp_path)
    kept = [store.put(_picture(i)) for i in range(4)]
    assert [isinstance(k, Spilled) for k in kept] == [False, False, True, True]
    assert 2 * 1800 <= store.bytes_on_disk <= 2 * 1800 + 2 * 65536


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="Linux tells what a process has taken")
def test_memory_stays_in_the_budget_and_the_rest_goes_to_disk(tmp_path: Path) -> None:
    """Of the process, measured: 400 MB of photographs of several sizes, a quarter of which may stay."""

    def taken() -> int:
        words = Path("/proc/self/status").read_text().split()
        return 1024 * int(words[words.index("RssAnon:") + 1])

    def photograph(value: int, size: int) -> torch.Tensor:
        """In pages of its own, which go back when it is dropped: the allocator would keep some."""
        pages = np.frombuffer(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)
        return torch.from_numpy(pages).fill_(value)

    budget, sizes = 100_000_000, [1_000_000 * (2 + 3 * i % 5) for i in range(100)]
    store = TensorStore(budget, tmp_path)
    gc.collect()
    before = taken()
    views = [CachedView(store, {"image": photograph(i, size)}) for i, size in enumerate(sizes)]
    assert 0.9 * budget < taken() - before < 1.1 * budget
    assert sum(sizes) - budget <= store.bytes_on_disk < sum(sizes) - 0.9 * budget
    for i, view in enumerate(views):
        image = view["image"]
        assert len(image) == sizes[i]
        assert image.min() == image.max() == i
    assert taken() - before < 1.1 * budget, "what was looked at stayed in memory"


def test_what_is_set_in_a_view_stays(tmp_path: Path) -> None:
    for budget in (0, 10**6):
        view = CachedView(TensorStore(budget, tmp_path), {"image": _picture(0)})
        empty = _picture(1, (20, 30, 1)) > 128
        view["empty"] = empty
        assert torch.equal(view["empty"], empty)
        assert set(view) == set(view.copy()) == {"image", "empty"}
        view["empty"] = ~empty
        assert torch.equal(view["empty"], ~empty)
        del view["empty"]
        assert "empty" not in view
        assert torch.equal(view["image"], _picture(0))


def test_a_copy_can_be_changed_without_the_view() -> None:
    view = CachedView(TensorStore(10**6), {"image": _picture(0)})
    view.copy().clear()
    assert len(view) == 1


def test_writing_into_a_mapped_tensor_leaves_the_file_alone() -> None:
    view = CachedView(TensorStore(0), {"image": _picture(0)})
    view["image"].zero_()
    assert torch.equal(view["image"], _picture(0))


def test_memory_that_is_given_back_is_used_again() -> None:
    store = TensorStore(1800)
    view = CachedView(store, {"image": _picture(0)})
    view["image"] = _picture(1)
    assert store.bytes_on_disk == 0
    assert torch.equal(view["image"], _picture(1))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts what Linux lists in /proc")
def test_neither_file_nor_maps_are_left() -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    gc.collect()  # what earlier tests left is none of this one's
    before = open_files()
    view = CachedView(TensorStore(0), {"image": _picture(0)})
    held = [view["image"] for _ in range(5)]
    assert open_files() > before
    del view, held
    gc.collect()
    assert open_files() == before


def test_the_file_has_no_name_to_be_left_behind(tmp_path: Path) -> None:
    store = TensorStore(0, tmp_path)
    store.put(_picture(0))
    assert store.bytes_on_disk > 0
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    with pytest.raises(MacroSplatError, match=r"missing: the photographs .*cache-folder"):
        TensorStore(0, folder).put(_picture(0))


def test_free_memory_is_plausible() -> None:
    assert 0 < free_memory(torch.device("cpu")) < 2**50
