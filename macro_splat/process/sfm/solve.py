"""Poses from photographs alone, by COLMAP's incremental structure from motion.

Of each focus stack the sharpest photograph goes in, with the features of its sharp regions inside its mask. Photographs
that find no place are tried again: with the next sharpest ones of their stack, with features as seen from aslant, and
with looser demands. (J. Schönberger and J.-M. Frahm, "Structure-from-Motion Revisited", CVPR 2016.)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.format import Intrinsics, Optics, SparsePoints
from macro_splat.errors import MacroSplatError
from macro_splat.photographs.load import Photograph, load_photograph, reduced_size
from macro_splat.process.config import Distortion
from macro_splat.process.poses import PosedPhotograph, Poses
from macro_splat.process.sfm.colmap import load_pycolmap
from macro_splat.process.sfm.database import CameraKind, FeatureDatabase
from macro_splat.process.sfm.features import FeatureOptions, Features, detect
from macro_splat.process.sfm.inputs import FOCAL_RANGE, digest, focal_length_px, load_mask
from macro_splat.process.sfm.matching import best_partners, candidate_pairs
from macro_splat.process.sfm.rotation import landscape_rotation
from macro_splat.process.sfm.world import move_cameras, upright_world
from macro_splat.process.stacks.grouping import Stack
from macro_splat.process.workspace import Workspace
from macro_splat.utils.atomic import atomic_folder, atomic_write, temporary_folder
from macro_splat.utils.messages import first_few

CAMERA_MODELS: dict[Distortion, str] = {"none": "SIMPLE_PINHOLE", "radial": "SIMPLE_RADIAL", "opencv": "OPENCV"}


@dataclass(frozen=True)
class Demands:
    """What a reconstruction has to begin and to go on with; the numbers of COLMAP's mapper."""

    first_inliers: int
    first_angle: float
    """Degrees between the rays of the first two photographs."""
    pose_inliers: int
    """Points that must agree on the pose of a photograph; chance alone brings about as many as `false_alarms` says."""
    pose_share: float
    """Of all matches with points."""


STRICT, LOOSE = Demands(100, 16.0, 30, 0.25), Demands(40, 6.0, 20, 0.12)
LOOSEST = Demands(40, 6.0, 12, 0.05)
"""Twelve of 150 within 6 pixels, of a small picture, are still 1e-5 likely by chance; large ones leave less to it."""
MIN_REGISTERED_SHARE = 0.95
"""Part of the stacks that have to register before we stop trying."""
FOCAL_STARTS = (1.2, 3.5)
"""Unknown focal lengths are started at these multiples of the longer edge: a short lens's, a macro lens's."""
MIN_POINTS = 15
"""Of the object's points a photograph has to see so many, or its place is a guess."""
OTHERS_OF_A_STACK = 2
"""So many of a stack's next sharpest photographs are tried when its sharpest one finds no place."""
MAX_PARTNERS = 40
"""A photograph that found no place is compared from aslant with so many others."""
ASLANT = FeatureOptions(max_features=1000)
"""Of each of the views that are simulated; more only cost."""
ASLANT_TILT = 2.0
"""Foreshortening of these views."""
COLOUR_EDGE = 1600
"""Photographs are reduced to this when the points' colours are looked up."""
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
"""From COLMAP's camera axes (y down, looking along z) to OpenGL's."""


@dataclass(frozen=True)
class _Shot:
    """A photograph that takes part."""

    photograph: Photograph
    stack: int
    key: str
    kind: CameraKind


@dataclass(frozen=True)
class StructureFromMotion:
    """A search for the poses of photographs.

    Run again with the same workspace, an interrupted search goes on, a finished one returns at once, and after a change
    only what it touches is done anew.
    """

    stacks: Sequence[Stack]
    """In the order of capture, as far as it is known."""
    workspace: Workspace
    """Its folder keeps features and matches in `sfm/`. With one thread the result is the same each time."""
    _: KW_ONLY
    masks: Mapping[str, Path] = field(default_factory=dict)
    """Files by photograph, upright; features are searched where they are not black."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """How sharp each photograph is; the sharpest of a stack goes first. Without, the middle one does."""
    sharpness: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Maps of sharpness [h, w] by photograph; blurred regions give no features."""
    distortion: Distortion = "radial"
    """Of the lens; "opencv" has four coefficients and needs many photographs."""
    max_edge: int = 2400
    """Features are searched in pictures reduced to this."""
    seed: int = 0
    """Of the random choices."""

    @property
    def folder(self) -> Path:
        """Where features and matches are kept."""
        return self.workspace.folder / "sfm"

    @property
    def threads(self) -> int:
        """At most so many."""
        return self.workspace.threads or os.cpu_count() or 1

    def reconstruct(self) -> Poses:
        """Find the poses, in units of no meaning; the photographs of a stack share that of the one that registered.

        Raises:
            MacroSplatError: pycolmap is missing, there are fewer than two stacks, no photographs fit together, a mask
                does not fit its photograph, or a file is broken.
        """
        pycolmap = load_pycolmap()
        if len(self.stacks) < 2:
            raise MacroSplatError(
                f"poses cannot be found from {len(self.stacks)} viewpoint(s); photograph the object from all around, "
                "at least 20 viewpoints that overlap, or describe the rig in rig.yaml"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        pycolmap.set_random_seed(self.seed)
        shots = [self._shot(self._ranked(stack)[0], i) for i, stack in enumerate(self.stacks)]
        spares = [
            self._shot(photograph, i)
            for i, stack in enumerate(self.stacks)
            for photograph in self._ranked(stack)[1 : 1 + OTHERS_OF_A_STACK]
        ]
        finished = self.folder / f"model-{digest(self.seed, *(shot.key for shot in shots + spares))}"
        if not finished.exists():
            self._find(shots, spares, finished)
        every = {shot.key: shot for shot in shots + spares}
        return self._result(pycolmap.Reconstruction(finished), every)

    def _ranked(self, stack: Stack) -> list[Photograph]:
        """Return the photographs of a stack, sharpest first; of equal ones the middle one first."""
        middle = (len(stack.photographs) - 1) / 2
        order = sorted(
            range(len(stack.photographs)),
            key=lambda i: (-self.scores.get(stack.photographs[i].name, 0.0), abs(i - middle)),
        )
        return [stack.photographs[i] for i in order]

    def _shot(self, photograph: Photograph, stack: int) -> _Shot:
        width, height = reduced_size(photograph, self.max_edge)
        exif = photograph.exif
        size, model = landscape_rotation(photograph).size(width, height), CAMERA_MODELS[self.distortion]
        name = f"{exif.camera} | {exif.lens} | {exif.focal_length_mm} mm | {size[0]}x{size[1]} | {model}"
        kind = CameraKind(ascii(name), model, *size, focal_length_px(photograph, width))
        stat = photograph.path.stat()
        key = digest(
            photograph.name, stat.st_size, stat.st_mtime_ns, name, kind.focal_px,
            self.masks.get(photograph.name), self.sharpness.get(photograph.name),
        )  # fmt: skip
        return _Shot(photograph, stack, key, kind)

    def _find(self, shots: list[_Shot], spares: list[_Shot], finished: Path) -> None:
        """Reconstruct with growing effort until enough stacks have a pose, and keep the best result."""
        database = FeatureDatabase(
            self.folder / "features.db", seed=self.seed, threads=self.threads, error_px=self._error_px(shots)
        )
        self._detect(database, shots)
        pairs = [(shots[i].key, shots[j].key) for i, j in candidate_pairs(len(shots))]
        database.match(pairs, self.workspace.progress)
        best = None
        for demands in (STRICT, LOOSE):
            best = self._map(database, shots, demands, best)
        missing = self._missing(shots, best)
        if not self._enough(missing):
            every = sorted(shots + [s for s in spares if s.stack in missing], key=lambda s: s.stack)
            self._detect(database, every)
            keys = [shot.key for shot in every]
            near = candidate_pairs(len(every))
            database.match([(keys[i], keys[j]) for i, j in near], self.workspace.progress)
            again = [i for i, shot in enumerate(every) if shot.stack in missing]
            chosen = best_partners(again, near, database.match_counts(keys), MAX_PARTNERS)
            pairs = [(keys[i], keys[j]) for i, j in chosen]
            path = self.folder / f"aslant-{digest(ASLANT, *pairs)}.db"
            wide = database.copy_without(pairs, path)
            by_key = {shot.key: shot for shot in every}
            wide.match_aslant(pairs, lambda key: self._aslant(by_key[key]), self.workspace.progress)
            for demands in (LOOSE, LOOSEST):
                best = self._map(wide, every, demands, best)
        if best is None or not _placed(best):
            raise self._failure()
        self._colour(best, {shot.key: shot for shot in shots + spares})
        with atomic_folder(finished) as folder:
            best.write(folder)

    def _failure(self) -> MacroSplatError:
        names = [stack.photographs[0].name for stack in self.stacks]
        return MacroSplatError(
            f"no poses could be found for {first_few(names, 5)}: too few features fit together; photograph with more "
            "overlap (at most 15 degrees from one viewpoint to the next) and a smaller aperture, put a patterned mat "
            "under the object, mask a background that does not move with it, or describe the rig in rig.yaml"
        )

    def _detect(self, database: FeatureDatabase, shots: list[_Shot]) -> None:
        for done, shot in enumerate(shots):
            self.workspace.progress("searching features", done, len(shots))
            if shot.key not in database:
                database.add(shot.key, shot.kind, self._features(shot, aslant=False))
        self.workspace.progress("searching features", len(shots), len(shots))

    def _features(self, shot: _Shot, *, aslant: bool) -> Features:
        picture = load_photograph(shot.photograph, self.max_edge)
        mask = self.masks.get(shot.photograph.name)
        features = detect(
            picture,
            ASLANT if aslant else FeatureOptions(),
            tilt=ASLANT_TILT if aslant else None,
            mask=None if mask is None else load_mask(mask, shot.photograph, picture.shape),
            sharpness=self.sharpness.get(shot.photograph.name),
            threads=self.threads,
        )
        return landscape_rotation(shot.photograph).features(features, picture.shape[1], picture.shape[0])

    def _aslant(self, shot: _Shot) -> Features:
        """Return the features as seen from aslant, kept in a file: they cost ten times as much as the plain ones."""
        path = self.folder / f"aslant-{digest(shot.key, ASLANT)}.npz"
        if not path.exists():
            features = self._features(shot, aslant=True)
            with atomic_write(path) as file:
                np.savez(file, keypoints=features.keypoints, descriptors=features.descriptors)
        with np.load(path) as data:
            return Features(data["keypoints"], data["descriptors"])

    def _missing(self, shots: Sequence[_Shot], model: Any) -> set[int]:
        found = set() if model is None else {image.name for image in _placed(model)}
        return {shot.stack for shot in shots} - {shot.stack for shot in shots if shot.key in found}

    def _enough(self, missing: set[int]) -> bool:
        return len(missing) <= (1 - MIN_REGISTERED_SHARE) * len(self.stacks)

    def _map(self, database: FeatureDatabase, shots: list[_Shot], demands: Demands, best: Any) -> Any:
        """Return the best model, from these matches or of those before; unknown focal lengths have several starts."""
        starts = FOCAL_STARTS if any(shot.kind.focal_px is None for shot in shots) else (0.0,)
        for start in starts:
            missing = self._missing(shots, best)
            if self._enough(missing) or (start != starts[0] and len(missing) < len(self.stacks) / 2):
                break
            if start:
                database.set_focal_lengths(start)
            model = self._map_once(database, shots, demands)
            if model is not None and (best is None or self._rank(shots, model) > self._rank(shots, best)):
                best = model
        return best

    def _error_px(self, shots: Sequence[_Shot]) -> float:
        """Return how far matches may be off: COLMAP's 4 pixels, made for large pictures, and fewer in small ones."""
        edge = float(np.median([max(shot.kind.width, shot.kind.height) for shot in shots]))
        return float(np.clip(edge / 600, 2.0, 4.0))

    def _rank(self, shots: list[_Shot], model: Any) -> tuple[int, int]:
        return -len(self._missing(shots, model)), model.compute_num_observations()

    def _map_once(self, database: FeatureDatabase, shots: list[_Shot], demands: Demands) -> Any:
        options = load_pycolmap().IncrementalPipelineOptions(
            num_threads=self.threads,
            random_seed=self.seed,
            extract_colors=False,
            min_model_size=min(3, len(self.stacks)),
            max_num_models=5,
            image_names=[shot.key for shot in shots],
        )
        options.min_focal_length_ratio, options.max_focal_length_ratio = FOCAL_RANGE
        options.mapper.random_seed = options.triangulation.random_seed = self.seed
        options.mapper.abs_pose_max_error = 3 * database.error_px
        options.mapper.init_min_num_inliers = demands.first_inliers
        options.mapper.init_min_tri_angle = demands.first_angle
        options.mapper.abs_pose_min_num_inliers = demands.pose_inliers
        options.mapper.abs_pose_min_inlier_ratio = demands.pose_share
        placed = 0

        def next_image() -> None:
            nonlocal placed
            placed += 1
            self.workspace.progress("placing", min(placed, len(shots)), len(shots))

        with temporary_folder(self.folder / "models") as folder:
            models = load_pycolmap().incremental_mapping(
                database.path, self.folder, folder, options, next_image_callback=next_image
            )
        return max(models.values(), key=lambda model: self._rank(shots, model), default=None)

    def _colour(self, model: Any, shots: Mapping[str, _Shot]) -> None:
        """Give the points the mean colour of what was seen of them."""
        numbers = sorted(model.point3D_ids())
        row = {number: i for i, number in enumerate(numbers)}
        total = np.zeros((len(numbers), 4))
        images = _placed(model)
        for done, image in enumerate(images):
            self.workspace.progress("colouring", done, len(images))
            seen = [(p.xy, row[p.point3D_id]) for p in image.points2D if p.has_point3D()]
            if not seen:
                continue
            shot = shots[image.name]
            picture = load_photograph(shot.photograph, min(COLOUR_EDGE, self.max_edge))
            height, width = picture.shape[:2]
            rotation = landscape_rotation(shot.photograph)
            searched = rotation.size(shot.kind.width, shot.kind.height)
            xy = rotation.upright(np.array([p for p, _ in seen]), *searched) * (
                width / searched[0],
                height / searched[1],
            )
            x, y = np.clip(xy.astype(int), 0, (width - 1, height - 1)).T
            np.add.at(total, [i for _, i in seen], np.concatenate([picture[y, x], np.ones((len(seen), 1))], axis=1))
        self.workspace.progress("colouring", len(images), len(images))
        colours = np.round(total[:, :3] / np.maximum(total[:, 3:], 1)).astype(np.uint8)
        for number, colour in zip(numbers, colours, strict=True):
            model.points3D[number].color = colour

    def _result(self, model: Any, shots: Mapping[str, _Shot]) -> Poses:
        images = sorted(_placed(model), key=lambda image: shots[image.name].stack)
        points = [model.points3D[i] for i in sorted(model.point3D_ids())]
        xyz = np.array([p.xyz for p in points]).reshape(-1, 3)
        poses = np.tile(np.eye(4), (len(images), 1, 1))
        poses[:, :3] = [image.cam_from_world().inverse().matrix() for image in images]
        poses = poses @ np.stack([landscape_rotation(shots[image.name].photograph).camera for image in images]) @ FLIP
        similarity = upright_world(poses, xyz)
        scale, rotation, translation = similarity
        poses = move_cameras(poses, *similarity)

        registered = {
            shots[image.name].photograph.name: (image, pose) for image, pose in zip(images, poses, strict=True)
        }
        posed: dict[str, PosedPhotograph] = {}
        for stack in self.stacks:
            own = [registered[p.name] for p in self._ranked(stack) if p.name in registered]
            for photograph in stack.photographs if own else ():
                image, pose = registered.get(photograph.name, own[0])
                intrinsics = _intrinsics(model.cameras[image.camera_id], photograph)
                posed[photograph.name] = PosedPhotograph(pose, intrinsics, _optics(stack, photograph))
        taken = [shots[image.name] for image in images]
        magnified = np.median([max(s.photograph.width, s.photograph.height) / s.kind.width for s in taken])
        colours = np.array([p.color for p in points], np.uint8).reshape(-1, 3)
        return Poses(
            "sfm",
            posed,
            points=SparsePoints(scale * xyz @ rotation.T + translation, colours),
            reprojection_error_px=float(model.compute_mean_reprojection_error() * magnified),
            registered=frozenset(registered),
            unregistered=tuple(p.name for stack in self.stacks for p in stack.photographs if p.name not in posed),
        )


def _optics(stack: Stack, photograph: Photograph) -> Optics:
    """Return what the EXIF data say of the lens.

    Focus distance and pupil are left to training, which reads them from the images' tags as a start: what is engraved
    on a macro lens is too far off, when it is focused close, to be given as known.
    """
    exif = photograph.exif
    return Optics(f_number=exif.f_number, focal_length_mm=exif.focal_length_mm, stack_motion=stack.motion)


def _placed(model: Any) -> list[Any]:
    """Return the images that found their place, and not by a handful of points that may be mistakes."""
    images = (model.images[number] for number in sorted(model.reg_image_ids()))
    return [image for image in images if image.num_points3D >= MIN_POINTS]


def _intrinsics(camera: Any, photograph: Photograph) -> Intrinsics:
    """Return COLMAP's camera for the full size of a photograph."""
    rotation = landscape_rotation(photograph)
    extra = [float(camera.params[i]) for i in camera.extra_params_idxs()]
    k1, k2, p1, p2 = (extra + [0.0] * 4)[:4]
    searched = Intrinsics(
        float(camera.focal_length_x),
        float(camera.focal_length_y),
        float(camera.principal_point_x),
        float(camera.principal_point_y),
        camera.width,
        camera.height,
        (k1, k2, 0.0, 0.0, p1, p2),
    )
    return rotation.upright_intrinsics(searched.resized(*rotation.size(photograph.width, photograph.height)))
