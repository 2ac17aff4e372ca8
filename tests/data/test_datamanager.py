"""The datamanager: what a training and an evaluation view carry, and in which order they come."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from PIL import Image

from macro_splat.data.datamanager import CPU_IMAGE_EDGE, MacroDataManager, MacroDataManagerConfig
from macro_splat.errors import MacroSplatError
from macro_splat.model.training_views import TrainingViews
from tests.captures import edit_transforms, write_capture


def manager(folder: Path, **options) -> MacroDataManager:
    return MacroDataManagerConfig(data=folder, **options).setup(device="cpu", test_mode="val")


def _order(datamanager: MacroDataManager, steps: int) -> list[int]:
    return [datamanager.next_train(step)[0].metadata["cam_idx"] for step in range(steps)]


def test_a_training_view(tmp_path: Path) -> None:
    datamanager = manager(write_capture(tmp_path))
    camera, batch = datamanager.next_train(0)
    index = camera.metadata["cam_idx"]
    assert "eval_idx" not in camera.metadata
    assert camera.metadata["train_idx"].tolist() == [[index]]
    assert camera.metadata["lens"].focus_distance.shape == (1, 1)
    assert batch["image"].dtype == torch.uint8
    expected = np.array(Image.open(datamanager.train_dataset.image_filenames[index]))
    np.testing.assert_array_equal(batch["image"].numpy(), expected)
    assert set(batch) == {"image_idx", "image"}, "truths are not for training"


def test_evaluation_views_come_in_turn_with_their_truths(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    datamanager = manager(folder)
    scale = datamanager.train_dataset.metadata["dataparser_scale"]
    for step, expected in enumerate([0, 1, 0]):
        camera, batch = datamanager.next_eval(step)
        assert camera.metadata["eval_idx"] == camera.metadata["cam_idx"] == expected
        assert camera.metadata["train_idx"].tolist() == [[-1]]
        assert camera.metadata["lens"].focus_distance.shape == (1, 1)
        torch.testing.assert_close(batch["sharp_image"], batch["image"].float() / 255)
        depth = np.load(folder / f"depth/test_{expected:03d}.npy")
        np.testing.assert_allclose(batch["depth_truth"][..., 0].numpy(), depth * scale, rtol=1e-6)
    views = datamanager.fixed_indices_eval_dataloader
    assert [camera.metadata["eval_idx"] for camera, _ in views] == [0, 1]
    assert all(set(batch) == {"image_idx", "image", "sharp_image", "depth_truth"} for _, batch in views)


def test_blurry_evaluation_views_are_compared_with_sharp_ones(tmp_path: Path) -> None:
    folder = write_capture(tmp_path, f_number=2.0, test_views=0, split_lists=False)
    _, batch = manager(folder).next_eval(0)
    difference = (batch["sharp_image"] - batch["image"].float() / 255).abs().max()
    assert difference > 0.1
    expected = np.array(Image.open(folder / "sharp/004.png")) / 255
    np.testing.assert_allclose(batch["sharp_image"].numpy(), expected, atol=1e-6)


def test_without_truth_for_every_view_there_is_none(tmp_path: Path) -> None:
    folder = edit_transforms(write_capture(tmp_path), lambda t: t["frames"][-1].update(aperture_radius=None))
    edit_transforms(folder, lambda t: t["frames"][-2].pop("depth_file_path"))
    for _, batch in manager(folder).fixed_indices_eval_dataloader:
        assert set(batch) == {"image_idx", "image"}


def test_evaluation_does_not_change_what_is_cached(tmp_path: Path) -> None:
    datamanager = manager(write_capture(tmp_path))
    camera, batch = datamanager.fixed_indices_eval_dataloader[0]
    camera.rescale_output_resolution(0.5)
    batch.clear()
    camera, batch = datamanager.fixed_indices_eval_dataloader[0]
    assert int(camera.width) == 48
    assert "image" in batch


def test_every_pose_counts_equally(tmp_path: Path) -> None:
    folder = write_capture(tmp_path, views=4, slices=3, test_views=0, split_lists=False)
    # The first pose keeps one slice, the second two.
    edit_transforms(folder, lambda t: t.update(frames=[t["frames"][i] for i in (0, 3, 4, 6, 7, 8, 9, 10, 11)]))
    datamanager = manager(folder)
    poses = datamanager.train_dataset.metadata["stack_id"][:, 0].tolist()
    count = Counter(poses[i] for i in _order(datamanager, 24))
    assert count == {0: 6, 1: 6, 2: 6, 3: 6}


def _with_sharp_slices(folder: Path, sharpest: int) -> Path:
    """A capture of three slices a pose: `sharpest` shows fine texture, the one before it coarse, the other none."""
    write_capture(folder, views=4, slices=3, width=64, height=48)
    texture = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    sigmas = {sharpest: 0.0, (sharpest - 1) % 3: 1.0, (sharpest + 1) % 3: 20.0}
    for path in (folder / "images").iterdir():
        sigma = sigmas[int(path.stem[-1])]
        Image.fromarray(cv2.GaussianBlur(texture, (0, 0), sigma) if sigma else texture).save(path)
    return folder


@pytest.mark.parametrize("sharpest", [0, 1, 2])
def test_the_sharpest_slice_of_each_stack_comes_first(tmp_path: Path, sharpest: int) -> None:
    order = _order(manager(_with_sharp_slices(tmp_path, sharpest)), 24)
    for round_, expected in enumerate([sharpest, (sharpest - 1) % 3, (sharpest + 1) % 3]):
        assert [i % 3 for i in order[4 * round_ : 4 * round_ + 4]] == [expected] * 4
    assert Counter(order[:12]) == Counter(order[12:]) == Counter(range(12))


def test_a_sequence_that_has_begun_is_not_begun_anew(tmp_path: Path) -> None:
    """The photographs are loaded after the state is restored."""
    folder = _with_sharp_slices(tmp_path, 1)
    begun = manager(folder)
    _order(begun, 6)
    resumed = manager(folder)
    resumed.restore_sampler_state(begun.sampler_state())
    assert _order(resumed, 20) == _order(begun, 20)


def test_a_resumed_training_sees_the_same_sequence(tmp_path: Path) -> None:
    folder = write_capture(tmp_path, views=4, slices=2)
    datamanager = manager(folder)
    start = _order(datamanager, 11)
    state = {name: value.clone() for name, value in datamanager.sampler_state().items()}
    expected = _order(datamanager, 20)
    resumed = manager(folder)
    torch.save(state, tmp_path / "state.pt")
    resumed.restore_sampler_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert _order(resumed, 20) == expected
    assert _order(manager(folder), 31) == start + expected
    assert _order(manager(folder, train_cameras_sampling_seed=1), 31) != start + expected


def test_the_sequence_of_another_capture_is_refused(tmp_path: Path) -> None:
    state = manager(write_capture(tmp_path / "a", views=8)).sampler_state()
    with pytest.raises(ValueError, match="other photographs"):
        manager(write_capture(tmp_path / "b", views=3)).restore_sampler_state(state)


def test_the_order_leaves_torchs_generator_alone(tmp_path: Path) -> None:
    datamanager = manager(write_capture(tmp_path))
    before = torch.get_rng_state()
    _order(datamanager, 20)
    datamanager.next_eval(0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("cache_images", ["cpu", "gpu"])
def test_both_caches_work_without_a_gpu(tmp_path: Path, cache_images: str) -> None:
    _, batch = manager(write_capture(tmp_path), cache_images=cache_images).next_train(0)
    assert batch["image"].device.type == "cpu"


def test_missing_masks_ignore_nothing(tmp_path: Path) -> None:
    folder = write_capture(tmp_path, masks=True)
    edit_transforms(folder, lambda t: t["frames"][2].pop("mask_path"))
    cached = manager(folder).cached_train
    assert cached[2]["mask"].all()
    assert not cached[1]["mask"].all()
    expected = np.array(Image.open(folder / "masks/001.png"))[..., None] > 0
    np.testing.assert_array_equal(cached[1]["mask"].numpy(), expected)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P"])
def test_masks_of_any_kind(tmp_path: Path, mode: str) -> None:
    folder = write_capture(tmp_path, masks=True)
    path = folder / "masks/001.png"
    expected = np.array(Image.open(path))[..., None] > 0
    Image.open(path).convert(mode).save(path)
    np.testing.assert_array_equal(manager(folder).cached_train[1]["mask"].numpy(), expected)


def test_transparent_photographs_keep_their_alpha(tmp_path: Path) -> None:
    datamanager = manager(write_capture(tmp_path, alpha=True))
    assert datamanager.next_train(0)[1]["image"].shape == (36, 48, 4)
    batch = datamanager.next_eval(0)[1]
    assert batch["image"].shape == batch["sharp_image"].shape == (36, 48, 4)


@pytest.mark.parametrize(("mode", "channels"), [("L", 3), ("P", 3), ("LA", 4), ("CMYK", 3)])
def test_photographs_of_any_kind_become_rgb(tmp_path: Path, mode: str, channels: int) -> None:
    folder = write_capture(tmp_path)
    suffix = ".tif" if mode == "CMYK" else ".png"
    picture = Image.open(folder / "images/001.png").convert(mode)
    picture.save(folder / f"images/001{suffix}")

    def edit(t: dict) -> None:
        t["train_filenames"][1] = t["frames"][1]["file_path"] = f"images/001{suffix}"

    image = manager(edit_transforms(folder, edit)).cached_train[1]["image"].numpy()
    expected = np.array(picture.convert("RGBA" if channels == 4 else "RGB"))
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("edge", [48, 47, 31, 20])
def test_photographs_masks_and_truths_are_reduced_together(tmp_path: Path, edge: int) -> None:
    datamanager = manager(write_capture(tmp_path, masks=True), max_image_edge=edge)
    for camera, batch in [datamanager.next_train(0), datamanager.next_eval(0)]:
        size = (int(camera.height), int(camera.width))
        assert max(size) <= edge
        for name in {"image", "mask", "sharp_image", "depth_truth"} & set(batch):
            assert batch[name].shape[:2] == size, name
        focal = float(camera.fx) / size[1]
        assert focal == pytest.approx(0.36 * 36 * 12 / 48, rel=0.06)


def test_large_jpegs_are_reduced_like_other_pictures(tmp_path: Path) -> None:
    """A decoder that skips frequencies and one that does not differ by less than the quantisation of a JPEG."""
    folder = write_capture(tmp_path, views=2, test_views=1, width=240, height=180, sharp=False, depth=False)
    picture = Image.open(folder / "images/001.png")
    picture.save(folder / "images/001.jpg", quality=95, subsampling=0)

    def edit(t: dict) -> None:
        t["train_filenames"][1] = t["frames"][1]["file_path"] = "images/001.jpg"

    image = manager(edit_transforms(folder, edit), max_image_edge=24).cached_train[1]["image"].numpy().astype(float)
    expected = np.array(picture.resize((24, 18), Image.Resampling.BILINEAR), dtype=float)
    assert image.shape == expected.shape
    assert np.abs(image - expected).mean() < 1.5


@pytest.mark.parametrize("memory_budget", [0.0, 2e-5, 1.0])
def test_views_are_the_same_wherever_they_are_kept(tmp_path: Path, memory_budget: float) -> None:
    folder = write_capture(tmp_path, masks=True)
    datamanager = manager(folder, memory_budget=memory_budget, cache_folder=tmp_path)
    expected = manager(folder)
    for step in range(12):
        (camera, batch), (other, same) = datamanager.next_train(step), expected.next_train(step)
        assert camera.metadata["cam_idx"] == other.metadata["cam_idx"]
        assert set(batch) == set(same)
        assert torch.equal(batch["image"], same["image"])
        assert torch.equal(batch["mask"], same["mask"])
    views, others = datamanager.fixed_indices_eval_dataloader, expected.fixed_indices_eval_dataloader
    for (_, batch), (_, same) in zip(views, others, strict=True):
        for name in ("image", "sharp_image", "depth_truth"):
            assert torch.equal(batch[name], same[name])


def test_what_a_model_adds_to_a_view_is_dealt_out_with_it(tmp_path: Path) -> None:
    datamanager = manager(write_capture(tmp_path), memory_budget=0.0)
    for index, view in enumerate(datamanager.cached_train):
        view["empty"] = torch.full((36, 48, 1), index % 2 == 0)
    for step in range(8):
        camera, batch = datamanager.next_train(step)
        assert bool((batch["empty"] == (camera.metadata["cam_idx"] % 2 == 0)).all())


def test_evaluation_views_are_made_when_they_are_asked_for(tmp_path: Path) -> None:
    views = manager(write_capture(tmp_path, test_views=3)).fixed_indices_eval_dataloader
    assert len(views) == 3
    assert [camera.metadata["eval_idx"] for camera, _ in views] == [0, 1, 2]
    assert views[-1][0].metadata["eval_idx"] == 2
    assert [camera.metadata["eval_idx"] for camera, _ in views[1:]] == [1, 2]
    with pytest.raises(IndexError):
        views[3]


@pytest.mark.parametrize(("edge", "width"), [(None, CPU_IMAGE_EDGE), (0, CPU_IMAGE_EDGE + 100)])
def test_large_photographs_are_reduced_unless_told_otherwise(tmp_path: Path, edge: int | None, width: int) -> None:
    datamanager = manager(
        write_capture(tmp_path, views=2, test_views=1, width=CPU_IMAGE_EDGE + 100, height=90), max_image_edge=edge
    )
    assert int(datamanager.next_train(0)[0].width) == width


def test_undistorted_truths_stay_aligned_with_their_photographs(tmp_path: Path) -> None:
    folder = edit_transforms(write_capture(tmp_path), lambda t: t.update(k1=0.5))
    _, batch = manager(folder).next_eval(0)
    assert "depth_truth" not in batch
    image = batch["image"].float() / 255
    assert batch["sharp_image"].shape == image.shape
    assert (batch["sharp_image"] - image).abs().max() < 0.02
    distorted = np.array(Image.open(folder / "test/000.png")) / 255
    unmoved = cv2.resize(distorted, image.shape[1::-1])
    assert np.abs(image.numpy() - unmoved).max() > 0.1


def test_a_photograph_that_breaks_after_reading_is_named(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    datamanager = manager(folder)
    path = folder / "images/003.png"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(MacroSplatError, match=r"images/003\.png is broken or truncated"):
        datamanager.next_train(0)


def test_another_parser_can_be_used(tmp_path: Path) -> None:
    folder = write_capture(tmp_path, masks=True)
    parser = NerfstudioDataParserConfig(data=folder, load_3D_points=True)
    datamanager = manager(folder, dataparser=parser)
    camera, batch = datamanager.next_train(0)
    assert batch["mask"].shape == (36, 48, 1)
    assert "focus_distance" not in camera.metadata
    assert set(datamanager.next_eval(0)[1]) == {"image_idx", "image", "mask"}


def test_without_held_out_views_evaluation_uses_training_views(tmp_path: Path) -> None:
    datamanager = manager(write_capture(tmp_path, views=3, test_views=0, split_lists=False))
    camera, _ = datamanager.next_eval(0)
    assert camera.metadata["train_idx"].tolist() == [[0]]
    assert camera.metadata["cam_idx"] == 0


@pytest.mark.parametrize("own_parser", [True, False])
def test_an_evaluation_view_is_no_training_view_of_its_index(tmp_path: Path, own_parser: bool) -> None:
    """Not even in its place, where another lens may have taken it."""

    def edit(t: dict) -> None:
        frames = t["frames"]
        held_out = [frame for frame in frames if "test" in frame["file_path"]]
        for frame, other in zip(held_out, frames, strict=False):
            frame["transform_matrix"] = other["transform_matrix"]

    datamanager = manager(edit_transforms(write_capture(tmp_path), edit))
    if not own_parser:
        datamanager.eval_dataset.cameras.metadata = None
    views = TrainingViews(datamanager.train_dataset.cameras)
    for i, (camera, _) in enumerate(datamanager.fixed_indices_eval_dataloader):
        torch.testing.assert_close(camera.camera_to_worlds[0, :3], views.poses[i])
        assert camera.metadata["cam_idx"] == i
        assert views.index_of(camera) is None
