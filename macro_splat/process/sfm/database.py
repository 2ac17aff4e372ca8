"""COLMAP's database of features and matches, filled so that an interrupted run goes on where it stopped.

Photographs go by keys that stand for their content, so that a changed photograph is a new one, and those that were left
out later stay behind without harm.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from macro_splat.errors import MacroSplatError
from macro_splat.process.sfm.colmap import load_pycolmap
from macro_splat.process.sfm.features import Features
from macro_splat.process.sfm.matching import false_alarms, match, merge_places, one_to_one
from macro_splat.utils.atomic import atomic_write
from macro_splat.utils.progress import ProgressCallback

MAX_FALSE_ALARMS = 1e-3
"""A geometry is believed if fewer as good ones are to be expected between unrelated photographs."""


@dataclass(frozen=True)
class CameraKind:
    """Photographs of one kind share their intrinsics."""

    name: str
    """Body, lens, focal length and size; the same only for the same kind."""
    model: str
    """COLMAP's name of the camera model."""
    width: int
    height: int
    """In pixels of the pictures that features were searched in."""
    focal_px: float | None
    """From EXIF; None = unknown."""


class FeatureDatabase:
    """Features, matches and cameras of photographs in a file of COLMAP's."""

    def __init__(self, path: Path, *, seed: int, threads: int, error_px: float = 4.0) -> None:
        """Open or make the file; matches may lie `error_px` off their epipolar lines."""
        self.path, self.error_px = path, error_px
        self._pycolmap = load_pycolmap()
        self._seed, self._threads = seed, threads
        self._ids: dict[str, int] = {}
        with self._open() as database:
            self._ids = {image.name: image.image_id for image in database.read_all_images()}

    def _open(self) -> Any:
        try:
            return self._pycolmap.Database.open(self.path)
        except Exception as error:  # SQLite's complaints arrive as several kinds of errors
            raise MacroSplatError(f"{self.path} is no readable database ({error}); delete it") from error

    def __contains__(self, key: str) -> bool:
        return key in self._ids

    def add(self, key: str, kind: CameraKind, features: Features) -> None:
        """Write a photograph with its features, all or nothing."""
        pycolmap = self._pycolmap
        with self._open() as database, pycolmap.DatabaseTransaction(database):
            camera = self._camera(database, kind)
            image = pycolmap.Image(name=key, camera_id=camera.camera_id)
            image.image_id = database.write_image(image)
            frame = pycolmap.Frame(rig_id=camera.camera_id)
            frame.add_data_id(image.data_id)
            database.write_frame(frame)
            database.write_keypoints(image.image_id, features.keypoints)
            sift = pycolmap.FeatureExtractorType.SIFT
            database.write_descriptors(image.image_id, pycolmap.FeatureDescriptors(sift, features.descriptors))
        self._ids[key] = image.image_id

    def _camera(self, database: Any, kind: CameraKind) -> Any:
        """Return the camera of this kind; its number is kept in a file beside the database."""
        kinds = self.path.with_suffix(".cameras")
        known = kinds.read_text(encoding="utf-8").splitlines() if kinds.exists() else []
        if kind.name not in known:
            known.append(kind.name)
            with atomic_write(kinds, "w") as file:
                file.write("\n".join(known) + "\n")
        number = known.index(kind.name) + 1
        if database.exists_camera(number):
            return database.read_camera(number)
        pycolmap = self._pycolmap
        camera = pycolmap.Camera.create_from_model_name(number, kind.model, 1.0, kind.width, kind.height)
        camera.focal_length = kind.focal_px or 1.2 * max(kind.width, kind.height)
        camera.has_prior_focal_length = kind.focal_px is not None
        database.write_camera(camera, use_camera_id=True)
        rig = pycolmap.Rig(rig_id=number)
        rig.add_ref_sensor(camera.sensor_id)
        database.write_rig(rig, use_rig_id=True)
        return camera

    def set_focal_lengths(self, edges: float) -> None:
        """Start cameras of unknown focal length at this multiple of their longer edge."""
        with self._open() as database:
            for camera in database.read_all_cameras():
                if not camera.has_prior_focal_length:
                    camera.focal_length = edges * max(camera.width, camera.height)
                    database.update_camera(camera)

    def match(self, pairs: Sequence[tuple[str, str]], progress: ProgressCallback) -> None:
        """Compare pairs of photographs, by keys, and check them against a common geometry; known ones are passed."""
        pycolmap = self._pycolmap
        with self._open() as database:
            wanted = [p for p in pairs if not database.exists_matches(self._ids[p[0]], self._ids[p[1]])]
        options = pycolmap.FeatureMatchingOptions(num_threads=self._threads, use_gpu=False, guided_matching=True)
        done, block = len(pairs) - len(wanted), 16
        progress("comparing", done, len(pairs))
        for start in range(0, len(wanted), block):
            part = wanted[start : start + block]
            pairing = pycolmap.ImportedPairingOptions(match_list_path=self._pair_list(part))
            pycolmap.match_image_pairs(self.path, options, pairing, self._verification(), pycolmap.Device.cpu)
            done += len(part)
            progress("comparing", done, len(pairs))

    def _pair_list(self, pairs: Sequence[tuple[str, str]]) -> Path:
        path = self.path.with_suffix(".pairs")
        path.write_text("".join(f"{a} {b}\n" for a, b in pairs), encoding="utf-8")
        return path

    def _verification(self) -> Any:
        options = self._pycolmap.TwoViewGeometryOptions()
        options.ransac.random_seed = self._seed
        options.ransac.num_threads = 1
        options.ransac.max_error = self.error_px
        return options

    def match_counts(self, keys: Sequence[str]) -> np.ndarray:
        """Return how many features matched, [N, N], for each pair of these photographs."""
        place = {self._ids[key]: i for i, key in enumerate(keys)}
        table = np.zeros((len(keys), len(keys)), dtype=np.int64)
        with self._open() as database:
            pairs, counts = database.read_num_matches()
        for pair, count in zip(pairs, counts, strict=True):
            i, j = (place.get(k) for k in self._pycolmap.pair_id_to_image_pair(pair))
            if i is not None and j is not None:
                table[i, j] = table[j, i] = count
        return table

    def copy_without(self, pairs: Sequence[tuple[str, str]], path: Path) -> FeatureDatabase:
        """Return a copy in which these pairs were never compared; one that exists already is taken as it is."""
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            shutil.copyfile(self.path, unfinished)
            with self._pycolmap.Database.open(unfinished) as database:
                for a, b in pairs:
                    if database.exists_matches(self._ids[a], self._ids[b]):
                        database.delete_matches(self._ids[a], self._ids[b])
                    if database.exists_two_view_geometry(self._ids[a], self._ids[b]):
                        database.delete_two_view_geometry(self._ids[a], self._ids[b])
            shutil.copyfile(self.path.with_suffix(".cameras"), path.with_suffix(".cameras"))
            os.replace(unfinished, path)
        return FeatureDatabase(path, seed=self._seed, threads=self._threads, error_px=self.error_px)

    def match_aslant(
        self, pairs: Sequence[tuple[str, str]], aslant: Callable[[str], Features], progress: ProgressCallback
    ) -> None:
        """Compare pairs with the features of views from aslant too, which join the photographs' keypoints.

        Args:
            aslant: gives those features of a photograph, by key; the same ones each time.
        """
        with self._open() as database:
            wanted = [p for p in pairs if not database.exists_matches(self._ids[p[0]], self._ids[p[1]])]
        joined: dict[str, tuple[Features, np.ndarray]] = {}
        last_use = {key: n for n, pair in enumerate(wanted) for key in pair}
        for n, pair in enumerate(wanted):
            progress("comparing from aslant", len(pairs) - len(wanted) + n, len(pairs))
            for key in pair:
                if key not in joined:
                    joined[key] = self._join(key, aslant(key))
            (first, first_place), (second, second_place) = joined[pair[0]], joined[pair[1]]
            found = match(first, second)
            places = np.stack([first_place[found[:, 0]], second_place[found[:, 1]]], axis=1).astype(np.uint32)
            with self._open() as database:
                database.write_matches(self._ids[pair[0]], self._ids[pair[1]], one_to_one(places))
            for key in pair:
                if last_use[key] == n:
                    del joined[key]
        progress("comparing from aslant", len(pairs), len(pairs))
        self._drop_geometry(pairs)
        self._pycolmap.verify_matches(self.path, self._pair_list(pairs), self._verification())
        self._drop_geometry([pair for pair in pairs if self._by_chance(pair)])

    def _drop_geometry(self, pairs: Sequence[tuple[str, str]]) -> None:
        with self._open() as database, self._pycolmap.DatabaseTransaction(database):
            for a, b in pairs:
                if database.exists_two_view_geometry(self._ids[a], self._ids[b]):
                    database.delete_two_view_geometry(self._ids[a], self._ids[b])

    def _by_chance(self, pair: tuple[str, str]) -> bool:
        """Return whether as many matches would agree in unrelated photographs: many are tried from aslant."""
        first, second = (self._ids[key] for key in pair)
        with self._open() as database:
            if not database.exists_two_view_geometry(first, second):
                return False
            inliers = len(database.read_two_view_geometry(first, second).inlier_matches)
            matches = len(database.read_matches(first, second))
            cameras = [database.read_camera(database.read_image(number).camera_id) for number in (first, second)]
        smallest = min(cameras, key=lambda camera: camera.width * camera.height)
        return false_alarms(inliers, matches, (smallest.width, smallest.height), self.error_px) > MAX_FALSE_ALARMS

    def _join(self, key: str, aslant: Features) -> tuple[Features, np.ndarray]:
        """Return all features of a photograph, and for each the number of the keypoint that stands for its place."""
        number = self._ids[key]
        with self._open() as database:
            descriptors = database.read_descriptors(number).data.reshape(-1, 128)
            known = database.read_keypoints(number)
            count = len(descriptors)
            keypoints = np.zeros((count + len(aslant.keypoints), 4), dtype=np.float32)
            keypoints[:, :2] = np.concatenate([known[:count, :2], aslant.keypoints[:, :2]])
            keypoints[:, 2] = 1.0  # the scale, which matters no more
            place = merge_places(keypoints, count)
            kept = np.unique(np.concatenate([np.arange(count), place]))
            if len(known) < len(kept):
                database.update_keypoints(number, np.ascontiguousarray(keypoints[kept]))
        return Features(keypoints, np.concatenate([descriptors, aslant.descriptors])), np.searchsorted(kept, place)
