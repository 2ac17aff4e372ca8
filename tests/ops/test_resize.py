"""Reduced pictures and the masks that are found in them."""

import numpy as np

from macro_splat.ops.resize import enlarged, look_reduction, reduced


def test_reduced_pixels_are_means() -> None:
    picture = np.random.default_rng(0).random((13, 20, 3), dtype=np.float32)
    small = reduced(picture, 3)
    np.testing.assert_allclose(small, picture[:12, :18].reshape(4, 3, 6, 3, 3).mean(axis=(1, 3)), atol=1e-6)
    assert reduced(picture, 1) is picture


def test_masks_come_back_to_size() -> None:
    mask = np.array([[True, False], [False, True]])
    large = enlarged(mask, 3, (8, 7))
    assert large.shape == (8, 7)
    np.testing.assert_array_equal(reduced(large.astype(np.float32)[:, :, None], 3).astype(bool).reshape(2, 2), mask)
    np.testing.assert_array_equal(large[:, 6], large[:, 5])
    np.testing.assert_array_equal(large[6:], large[5:6].repeat(2, axis=0))


def test_what_is_looked_at_is_small_enough() -> None:
    assert [look_reduction(edge) for edge in (300, 1600, 1601, 6000)] == [1, 1, 2, 4]
