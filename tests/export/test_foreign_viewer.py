"""Exported files open in a viewer that is not ours, in a real browser, and show there what we render ourselves.

The viewer is mkkellogg/GaussianSplats3D (MIT) with three.js, fetched by npm into a temporary folder; nothing of it is
in this repository.
"""

from __future__ import annotations

import functools
import http.server
import io
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser

from macro_splat.runs.gaussians import Gaussians
from tests.end_to_end.outputs import psnr, read_splats
from tests.export.conftest import Exported
from tests.runs.splats import looking_at_origin

pytestmark = pytest.mark.browser

PACKAGES = {
    "@mkkellogg/gaussian-splats-3d@0.4.7": "gaussian-splats-3d.module.js",
    "three@0.160.0": "three.module.js",
}
PAGE = Path(__file__).with_name("foreign_viewer.html")
POSITION = (38.0, 22.0, 14.0)
"""Of the camera, mm; it looks at the origin, where the object is."""
SIZE = 400
FIELD_OF_VIEW_DEG = 50
"""The viewer's own."""
WAIT_MS = 180_000


@pytest.fixture(scope="session")
def viewer_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page and the two modules."""
    npm = shutil.which("npm")
    if npm is None:
        reason = "no npm on the PATH to fetch the foreign viewer with (Debian, Ubuntu: apt-get install npm)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("viewer")
    command = [npm, "pack", "--prefer-offline", "--silent", "--pack-destination", str(folder), *PACKAGES]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        reason = f"npm cannot fetch the foreign viewer: {done.stderr[-300:]}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    for archive in folder.glob("*.tgz"):
        with tarfile.open(archive) as packed:
            for module in PACKAGES.values():
                if f"package/build/{module}" in packed.getnames():
                    content = packed.extractfile(f"package/build/{module}")
                    assert content is not None
                    (folder / module).write_bytes(content.read())
        archive.unlink()
    shutil.copy(PAGE, folder)
    return folder


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(viewer_files: Path, exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server on this machine with the page and the exported files."""
    folder = tmp_path_factory.mktemp("served")
    for file in (*viewer_files.iterdir(), *exported.folder.glob("splats.*")):
        shutil.copy(file, folder)
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{PAGE.name}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def own_picture(exported: Exported) -> np.ndarray:
    """The exported splats from the same place, before black: [H, W, 3] in 0..1."""
    values = read_splats(exported.folder / "splats.ply")
    splats = Gaussians(values["means"], values["quats"], values["scales"], values["opacities"], values["colors"])
    focal = SIZE / 2 / np.tan(np.deg2rad(FIELD_OF_VIEW_DEG / 2))
    view = looking_at_origin(torch.tensor(POSITION), float(focal), SIZE)
    forward = view.world_to_camera[2, :3]
    right = torch.linalg.cross(forward, torch.tensor([0.0, 0.0, 1.0]).double())
    right /= right.norm()
    view.world_to_camera[:3, :3] = torch.stack([right, torch.linalg.cross(forward, right), forward])
    view.world_to_camera[:3, 3] = -view.world_to_camera[:3, :3] @ torch.tensor(POSITION).double()
    return splats.render(view.world_to_camera, view.intrinsics, SIZE, SIZE, 0.1, antialiased=False)[0].numpy()


@pytest.mark.parametrize(("file", "least_db"), [("splats.ply", 25.0), ("splats.spz", 23.0), ("splats.splat", 18.0)])
def test_it_shows_the_object(
    browser: Browser, address: str, own_picture: np.ndarray, exported: Exported, file: str, least_db: float
) -> None:
    """`.splat` has no view-dependent colour, and looks a little different for it."""
    context = browser.new_context(viewport={"width": SIZE, "height": SIZE})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}?file={file}&position={','.join(map(str, POSITION))}")
    page.wait_for_function("window.splats > 0", timeout=WAIT_MS)
    assert page.evaluate("window.splats") >= 0.95 * exported.record["splats"]  # it may leave out the faintest
    target = np.clip(own_picture, 0, 1)
    shown = target.max(axis=2) > 0.15
    assert shown.mean() > 0.05
    likeness, seen = 0.0, 0.0
    for _ in range(20):  # the first frames come before the splats are sorted
        page.wait_for_timeout(1000)
        shot = np.asarray(Image.open(io.BytesIO(page.screenshot(timeout=WAIT_MS))).convert("RGB")) / 255
        likeness = psnr(shot, target)
        seen = float((np.abs(shot - target).max(axis=2) < 0.15)[shown].mean())
        if likeness > least_db and seen > 0.8:
            break
    context.close()
    assert errors == []
    assert likeness > least_db, f"{likeness:.1f} dB of our own picture"
    assert seen > 0.8, f"{100 * seen:.0f} % of the object's pixels have its colour"
