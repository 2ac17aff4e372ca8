"""The parsers of ours, each with valid files to start from and with the mutation that suits them."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import yaml
from PIL import Image
from plyfile import PlyData

from macro_splat.campaign import page
from macro_splat.campaign.specimen import Specimen
from macro_splat.campaign.stages import read_figures, stages_of
from macro_splat.campaign.state import State
from macro_splat.capture import read_capture
from macro_splat.capture.files import check_depth, check_photographs, load_depth, read_points
from macro_splat.capture.format import Frame, Intrinsics
from macro_splat.errors import MacroSplatError
from macro_splat.photographs.exif import read_exif
from macro_splat.photographs.load import load_photograph, open_photograph
from macro_splat.process.rig import format as rig_format
from macro_splat.training.config_file import read_config
from macro_splat.training.record import read_record
from tests.captures import write_capture
from tests.fuzz.mutations import mutate_bytes, mutate_json
from tests.fuzz.oracle import MAX_MEGABYTES, judge
from tests.photographs.files import canon_note, exif_block

# fmt: off
CAPTURE_KEYS = [
    "file_path", "transform_matrix", "fl_x", "fl_y", "cx", "cy", "w", "h", "k1", "k4", "distortion_params", "frames",
    "focus_distance", "aperture_radius", "f_number", "focal_length_mm", "stack_id", "stack_index", "stack_motion",
    "mask_path", "sharp_file_path", "depth_file_path", "scene_unit", "camera_model", "ply_file_path", "applied_scale",
    "train_filenames", "val_filenames", "test_filenames", "applied_transform", "orientation_override",
]
# fmt: on
RIG_KEYS = sorted(
    {*rig_format._TOP_KEYS, *rig_format._ORBIT_KEYS, *rig_format._POSE_KEYS, *rig_format._LENS_KEYS}
    | {*rig_format._STACK_KEYS, "pattern", "angle", "tilt", "degrees_per_count", "zero", "length_mm", "markers"}
)
PLY_TOKENS = (
    *(b"property list uchar int x\n", b"property double red\n", b"format ascii 1.0\n", b"element face 3\n"),
    *(b"end_header\n", b"element vertex 999999999999\n", b"comment \xff\n", b"nan ", b"1e999 "),
)
YAML_TOKENS = (
    *(b"!!python/object/apply:os.system [true]", b"!!python/name:os.system", b"&a ", b"*a ", b"<<: *a\n", b"? ", b"- "),
    *(b"!!binary x", b"!!timestamp 2001-99-99", b"!!set {a}", b"!!omap [a: 1]", b"1:2:3:4", b"\t", b"%YAML 9\n---\n"),
    *(b"!!python/tuple [1]", b"!!python/object/new:pathlib.Path [x]", b"!!float x", b"!!int ''", b"0x", b": {"),
)
CONFIG = """!!python/object:macro_splat.training.trainer.MacroSplatTrainerConfig
_target: &id001 !!python/name:macro_splat.training.trainer.MacroSplatTrainer ''
data: &id002 !!python/object/apply:pathlib.PosixPath [/, tmp, capture]
method_name: macro-splat
experiment_name: ball
output_dir: *id002
pipeline: !!python/object:nerfstudio.pipelines.base_pipeline.VanillaPipelineConfig
  _target: !!python/name:nerfstudio.pipelines.base_pipeline.VanillaPipeline ''
  datamanager: !!python/object:macro_splat.data.datamanager.MacroDataManagerConfig
    _target: !!python/name:macro_splat.data.datamanager.MacroDataManager ''
    data: *id002
  model: !!python/object:macro_splat.model.macro_splat_model.MacroSplatModelConfig
    _target: !!python/name:macro_splat.model.macro_splat_model.MacroSplatModel ''
    background_color: auto
    sh_degree: -1
    defocus: !!python/object:macro_splat.defocus.config.DefocusConfig {mode: image}
optimizers:
  means:
    optimizer: !!python/object:macro_splat.training.optimizers.FusedAdamConfig
      _target: !!python/name:torch.optim.adam.Adam ''
      betas: !!python/tuple [0.9, 0.999]
    scheduler: null
"""
RECORD = b"""{"command": ["ns-train", "macro-splat"], "versions": {"torch": "2"}, "machine": "Linux, cpu",
"seconds": 1.5, "steps": 3, "gaussians": 20}"""
STATE = b"""{"specimen": "beetle", "source": "/in/beetle", "status": "failed", "reason": "train: no luck", "attempts": [
{"stage": "process", "number": 1, "outcome": "done", "begun": 1.7e9, "seconds": 61.5, "node": "a", "reason": ""},
{"stage": "train", "number": 1, "outcome": "failed", "begun": 1.8e9, "seconds": 3, "node": "b", "reason": "luck"}]}"""
FIGURES = b"""{"photographs": 3, "gaussians": 20, "steps": 100, "held_out_truth_psnr": 31.25,
"held_out_sharp_psnr": 30.5, "held_out_sharp_ssim": 0.9, "training_blurred_psnr": 33.125}"""


@dataclass(frozen=True)
class Parser:
    """One parser and what to feed it."""

    parse: Callable[[Path], object]
    file: Path
    """Where the data is written before."""
    seeds: tuple[bytes, ...]
    """Valid files."""
    mutate: Callable[[bytes, Random], bytes]
    max_megabytes: float = MAX_MEGABYTES

    def judge(self, data: bytes) -> bool:
        """As `oracle.judge`."""
        return judge(self.parse, self.file, data, self.max_megabytes)


def make_parsers(folder: Path) -> dict[str, Parser]:
    """All of them, by name, with their files in the (existing, empty) folder."""
    capture = write_capture(folder / "capture", views=2, test_views=1, masks=True, points=8, width=16, height=12)
    rig = json.dumps(_rig()).encode()
    text = mutate_bytes
    return {
        "capture": Parser(
            read_capture,
            capture / "fuzz.json",
            ((capture / "transforms.json").read_bytes(),),
            partial(mutate_json, keys=CAPTURE_KEYS),
        ),
        "points": Parser(read_points, folder / "points.ply", _clouds(capture), partial(text, tokens=PLY_TOKENS)),
        "rig": Parser(_read_rig, folder / "rig.yaml", (rig,), partial(mutate_json, keys=RIG_KEYS)),
        "rig-text": Parser(
            _read_rig,
            folder / "rig-text.yaml",
            (yaml.safe_dump(_rig()).encode(), _documented_rig()),
            partial(text, tokens=YAML_TOKENS),
        ),
        "exif": Parser(read_exif, folder / "tags", _photographs(), _mutate_head),
        # Pillow lets 179 megapixels pass: decoded and, as an EXIF orientation wants it, turned, 3 bytes each.
        "photograph": Parser(_read_photograph, folder / "photograph", _photographs(), mutate_bytes, 1200),
        "depth": Parser(_read_depth, folder / "depth.npy", _depths(), mutate_bytes),
        "config": Parser(read_config, folder / "config.yml", (CONFIG.encode(),), partial(text, tokens=YAML_TOKENS)),
        "record": Parser(
            _read_record,
            folder / "training.json",
            (RECORD,),
            partial(mutate_json, keys=["command", "versions", "seconds"]),
        ),
        "state": Parser(
            _read_state,
            folder / "state.json",
            (STATE,),
            partial(mutate_json, keys=["status", "reason", "attempts", "stage", "number", "seconds"]),
        ),
        "figures": Parser(
            _read_figures, folder / "figures.json", (FIGURES,), partial(mutate_json, keys=[*page.FIGURES])
        ),
    }


def _rig() -> dict:
    return {
        "turntable": {"radius_mm": 150, "direction": "ccw", "steps": 6, "tilts": [0, 20], "axis": [0, 0, 1], "roll": 0},
        "names": {
            "pattern": r"_x_(?P<tilt>-?\d+)_y_(?P<angle>-?\d+)",
            "tilt": {"degrees_per_count": 0.45, "zero": 190},
        },
        "lens": {"focal_length_mm": 50, "f_number": 8, "focus_distance_mm": 150, "sensor_width_mm": 36},
        "stack": {"motion": "ring", "focus_distances_mm": [149, 150, 151.5], "slices": 3, "first": "near"},
        "scale_bar": {"length_mm": 40, "markers": [0, 1]},
    }


def _documented_rig() -> bytes:
    return (rig_format.__doc__ or "").split("```yaml")[1].split("```")[0].encode()


def _read_rig(path: Path) -> None:
    """The file, and what is made of it for the names of photographs."""
    rig = rig_format.read_rig(path)
    if rig.orbit is not None:
        rig.orbit.directions()
    if rig.stack.slices is None or rig.stack.slices < 1000:
        rig.stack.offsets(rig.stack.slices or 3)


def _read_record(path: Path) -> None:
    """The record, and all that a report takes from it."""
    record = read_record(path.parent)
    if record is None:
        raise MacroSplatError("there is no record")
    shlex.join(record["command"])
    " ".join([*record["versions"].values(), record["machine"]])
    float(record["seconds"]) + record["steps"] + record["gaussians"]


def _read_state(path: Path) -> None:
    """The state, and all that page and table take from it."""
    state = State.read(Specimen("beetle", path.parent, path.parent))
    if not state.attempts:
        raise MacroSplatError("there is no history")
    _overview(state, {})


def _read_figures(path: Path) -> None:
    """The figures, as page and table show them."""
    specimen = Specimen("beetle", path.parent, path.parent)
    figures = read_figures(specimen)
    if not figures:
        raise MacroSplatError("there are no figures")
    _overview(State(specimen, "done"), figures)


def _overview(state: State, figures: dict[str, float]) -> None:
    stages = stages_of(1, 0)
    page._csv([state], stages, [figures]).encode("utf-8", "backslashreplace")
    page._page(state.specimen.folder, [state], stages, [figures]).encode("utf-8", "backslashreplace")


def _clouds(capture: Path) -> tuple[bytes, ...]:
    binary = (capture / "sparse_pc.ply").read_bytes()
    cloud = PlyData.read(io.BytesIO(binary))
    ascii_file, big = io.BytesIO(), io.BytesIO()
    cloud.text = True
    cloud.write(ascii_file)
    cloud.text, cloud.byte_order = False, ">"
    cloud.write(big)
    faces = b"ply\nformat ascii 1.0\ncomment made by hand\nelement vertex 2\nproperty float x\nproperty float y\n"
    faces += b"property float z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\nelement face 1\n"
    faces += b"property list uchar int vertex_indices\nend_header\n0 0 0 1 2 3\n1 1 1 4 5 6\n3 0 1 0\n"
    return binary, ascii_file.getvalue(), big.getvalue(), faces


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description aux:ApproximateFocusDistance="45/100" '
    b'aux:Lens="100 mm"/></rdf:RDF></x:xmpmeta>'
)


def _photographs() -> tuple[bytes, ...]:
    main = {0x010F: "Canon", 0x0110: "Canon R5", 0x0112: 6, 0x0132: "2024:01:01 00:00:00"}
    tags = {0x829A: (1, 125), 0x829D: (28, 10), 0x8827: 400, 0x9003: "2023:05:06 07:08:09", 0x9206: (45, 100)}
    tags |= {
        0x920A: (100, 1),
        0xA002: 6000,
        0xA003: 4000,
        0xA20E: (60_000, 36),
        0xA210: 3,
        0xA405: 100,
        0xA434: "Macro",
    }
    block = exif_block(main, {tag: _rational(value) for tag, value in tags.items()})
    without_distance = exif_block(main, {tag: _rational(value) for tag, value in tags.items() if tag != 0x9206})
    picture = Image.fromarray(np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3))
    found = []
    for kind, options in (
        ("JPEG", {"exif": block.tobytes()}),
        ("JPEG", {"exif": canon_note(without_distance, 40, 50), "xmp": XMP}),
        ("PNG", {"exif": block.tobytes()}),
        ("TIFF", {"exif": block.tobytes()}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ):
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        found.append(buffer.getvalue())
    return tuple(found)


def _rational(value):
    from PIL.TiffImagePlugin import IFDRational

    return IFDRational(*value) if isinstance(value, tuple) else value


def _mutate_head(data: bytes, random: Random) -> bytes:
    """The tags stand in the first half of a kilobyte, in TIFF files at the end."""
    if data[:2] in (b"II", b"MM"):
        return mutate_bytes(data, random)
    return mutate_bytes(data[:500], random) + data[500:]


def _read_photograph(path: Path) -> None:
    """As photographs are read for processing, and as those of a capture are checked."""
    photograph = open_photograph(path, path.name)
    if photograph.width * photograph.height < 2_000_000:
        load_photograph(photograph, max_edge=8)
    with Image.open(path) as image:  # which need not be upright
        intrinsics = Intrinsics(1, 1, 0, 0, *image.size)
    check_photographs([Frame(path.name, path, np.eye(4), intrinsics)])


def _depths() -> tuple[bytes, ...]:
    found = []
    for array in (np.ones((3, 4), np.float32), np.ones((3, 4), ">f8"), np.asfortranarray(np.ones((3, 4), np.float16))):
        buffer = io.BytesIO()
        np.save(buffer, array)
        found.append(buffer.getvalue())
    return tuple(found)


def _read_depth(path: Path) -> None:
    check_depth(path, Intrinsics(1, 1, 0, 0, 4, 3))
    load_depth(path)
