"""Features: where they are looked for, where they are found, and which are taken for alike."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from macro_splat.process.sfm.features import ALWAYS_KEPT, FeatureOptions, Features, detect
from macro_splat.process.sfm.matching import (
    best_partners,
    candidate_pairs,
    false_alarms,
    match,
    merge_places,
    one_to_one,
)

pytest.importorskip("pycolmap", reason="finding poses is an extra: pip install 'macro-splat[process]'")


def dots(places: np.ndarray, size: tuple[int, int] = (160, 200), radius: float = 3.0) -> np.ndarray:
    """Dark Gaussian dots on white, centres in pixels with centres at half integers."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    dark = sum(np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * radius**2)) for u, v in places)
    return np.repeat(np.clip(250 - 200 * dark, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def noise(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(cv2.GaussianBlur(rng.normal(128, 160, (*size, 3)), (0, 0), 1.2), 0, 255).astype(np.uint8)


PLACES = np.array([(40.2, 50.7), (120.0, 40.4), (85.5, 110.9), (150.3, 120.2)])


@pytest.mark.parametrize("tilt", [None, 2.0])
def test_features_are_where_the_dots_are(tilt: float | None) -> None:
    found = detect(dots(PLACES), FeatureOptions(), tilt=tilt)
    distance = np.linalg.norm(found.keypoints[:, None, :2] - PLACES, axis=2)
    near = distance[found.keypoints[:, 2] < 6].min(axis=1)  # larger ones are between the dots
    assert len(near) >= 4
    assert np.median(near) < 0.4
    assert set(distance.argmin(axis=1)) == {0, 1, 2, 3}


def test_no_features_outside_the_mask() -> None:
    mask = np.zeros((160, 200), dtype=bool)
    mask[:, :100] = True
    found = detect(noise((160, 200)), FeatureOptions(), mask=mask)
    assert len(found.keypoints) > 50
    assert (found.keypoints[:, 0] + found.keypoints[:, 2] <= 101).all()
    assert not len(detect(noise((160, 200)), FeatureOptions(), mask=np.zeros_like(mask)).keypoints)


@pytest.mark.slow
def test_blurred_regions_give_no_features() -> None:
    sharpness = np.ones((40, 60), dtype=np.float32)
    sharpness[:, 30:] = 0.05
    picture = noise((400, 600))
    everywhere = detect(picture, FeatureOptions())
    assert (everywhere.keypoints[:, 0] > 300).sum() > 500
    left = detect(picture, FeatureOptions(), sharpness=sharpness)
    assert len(left.keypoints) >= ALWAYS_KEPT
    assert (left.keypoints[:, 0] >= 300).sum() == 0
    few = detect(picture[:60, 200:400], FeatureOptions(), sharpness=sharpness)
    assert (few.keypoints[:, 0] > 100).any()  # too few to be choosy


def test_features_find_their_likes() -> None:
    rng = np.random.default_rng(0)
    descriptors = rng.integers(0, 200, (300, 128)).astype(np.uint8)
    keypoints = rng.uniform(0, 1000, (300, 4)).astype(np.float32)
    order = rng.permutation(300)
    wobbled = np.clip(descriptors[order] + rng.integers(0, 8, (300, 128)), 0, 255).astype(np.uint8)
    found = match(Features(keypoints, descriptors), Features(keypoints[order], wobbled))
    assert len(found) == 300
    np.testing.assert_array_equal(order[found[:, 1]], found[:, 0])
    strangers = rng.integers(0, 200, (300, 128)).astype(np.uint8)
    assert len(match(Features(keypoints, descriptors), Features(keypoints, strangers))) < 10
    nothing = Features(np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8))
    assert match(Features(keypoints, descriptors), nothing).shape == (0, 2)


def test_a_place_does_not_compete_with_itself() -> None:
    """A feature found twice in one place is matched; one found in two places is not."""
    rng = np.random.default_rng(1)
    descriptors = rng.integers(0, 200, (40, 128)).astype(np.uint8)
    keypoints = np.stack([np.arange(40.0) * 20] * 4, axis=1).astype(np.float32)
    first = Features(keypoints, descriptors)
    twice = np.concatenate([descriptors, descriptors[:20], descriptors[20:]])
    beside = np.concatenate([keypoints, keypoints[:20] + 1.0, keypoints[20:] + 10.0])
    found = match(first, Features(beside, twice))
    assert sorted(found[:, 0].tolist()) == list(range(20))


def test_pairs() -> None:
    assert len(candidate_pairs(40)) == 40 * 39 // 2
    many = candidate_pairs(1000)
    assert len(many) < 20_000
    assert all(i < j for i, j in many)
    assert {(0, 1), (0, 12), (0, 999), (0, 64)} <= set(many)
    alike = np.zeros((5, 5), dtype=np.int64)
    alike[4, 0] = alike[0, 4] = 9
    assert best_partners([4], candidate_pairs(5), alike, 2) == [(0, 4), (3, 4)]


def test_places() -> None:
    keypoints = np.array([(1.1, 1.1), (1.2, 1.3), (7.0, 7.0), (1.9, 1.9), (7.5, 7.2), (3.0, 3.0)], np.float32)
    assert merge_places(keypoints, 2).tolist() == [0, 1, 2, 0, 2, 5]
    pairs = np.array([(0, 0), (0, 1), (1, 1), (2, 1)], np.uint32)
    assert one_to_one(pairs).tolist() == [[0, 0], [1, 1]]


def test_chance_geometries_are_expected_about_as_often_as_said() -> None:
    """Random matches agree on a random geometry (here: horizontal lines) far less often than the bound says."""
    assert false_alarms(22, 211, (512, 342), 4.0) > 1  # nothing remarkable
    assert false_alarms(140, 266, (512, 342), 4.0) < 1e-50
    assert false_alarms(7, 7, (512, 342), 4.0) == float("inf")
    rng = np.random.default_rng(0)
    matches, error = 60, 2.0
    rows = rng.uniform(0, 342, (2, 2000, matches))
    inliers = (np.abs(rows[0] - rows[1]) <= error).sum(axis=1)
    for count in (8, 10, 12):
        assert (inliers >= count).mean() <= false_alarms(count, matches, (512, 342), error)
    assert false_alarms(40, matches, (512, 342), error) < false_alarms(30, matches, (512, 342), error) < 1
