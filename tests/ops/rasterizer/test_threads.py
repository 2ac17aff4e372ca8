"""The same bits from any number of threads, and several Python threads at once, as with a viewer during training."""

import threading

import pytest
import torch

from macro_splat.ops.rasterizer import rasterization
from macro_splat.simd import get_num_threads, set_num_threads
from tests.ops.rasterizer.splat_scenes import Scene, random_scene


@pytest.fixture
def kernel_threads():
    """Give back the number of threads after a test that changes it."""
    yield
    set_num_threads(None)


@pytest.fixture
def scene() -> Scene:
    scene = random_scene(0, n=1500, n_cameras=2, sh_degree=2, blur=True, width=150, height=110, scale=(0.01, 0.1))
    return scene.with_options(render_mode="RGB+ED")


def train_step(scene: Scene) -> dict[str, torch.Tensor]:
    leaves = scene.leaves(torch.float32)
    render, alphas, info = rasterization(
        **leaves, width=scene.width, height=scene.height, absgrad=True, **scene.options
    )
    (render.square().sum() + alphas.sum()).backward()
    gradients = {f"d {k}": v.grad for k, v in leaves.items() if v.grad is not None}
    return {"render": render, "alphas": alphas, "absgrad": info["means2d"].absgrad, **gradients}


def assert_same_bits(got: dict[str, torch.Tensor], want: dict[str, torch.Tensor]) -> None:
    different = [name for name in want if not torch.equal(got[name], want[name])]
    assert not different


def test_any_number_of_threads_gives_the_same_bits(scene, kernel_threads):
    set_num_threads(1)
    want = train_step(scene)
    for threads in (1, 2, 2, 3, 8):
        set_num_threads(threads)
        assert get_num_threads() == threads
        assert_same_bits(train_step(scene), want)


@pytest.mark.slow
def test_viewers_may_render_while_training_runs(scene, kernel_threads):
    set_num_threads(2)
    other = random_scene(1, n=700, width=70, height=90).with_options(render_mode="RGB+D")
    want_step, want_view = train_step(scene), other.render(rasterization)
    failures: list[BaseException] = []
    training_done = threading.Event()
    views = [0, 0]

    def view(k: int) -> None:
        try:
            while not training_done.is_set():
                got = other.render(rasterization)
                assert torch.equal(got[0], want_view[0])
                assert torch.equal(got[1], want_view[1])
                views[k] += 1
        except BaseException as failure:
            failures.append(failure)

    viewers = [threading.Thread(target=view, args=(k,)) for k in range(2)]
    for viewer in viewers:
        viewer.start()
    try:
        for _ in range(15):
            assert_same_bits(train_step(scene), want_step)
    finally:
        training_done.set()
        for viewer in viewers:
            viewer.join(timeout=60)
    assert not failures
    assert not any(viewer.is_alive() for viewer in viewers)
    assert all(count > 0 for count in views)
