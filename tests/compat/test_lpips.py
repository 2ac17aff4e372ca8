"""A model builds without LPIPS weights, quickly, and uses them where they are."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchmetrics.image.lpip
import torchvision

from macro_splat.compat import lpips


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torch hub's cache is empty, no proxy is in force, and nothing is remembered from another test."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    remembered = (lpips.why_unreachable, lpips._say_left_out)
    for function in remembered:
        function.cache_clear()
    yield
    for function in remembered:
        function.cache_clear()


def serve_weights_from(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(lpips, "weights_url", lambda: url)


class Model(torch.nn.Module):
    """Builds its metric as nerfstudio's splatfacto does."""

    def __init__(self) -> None:
        super().__init__()
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        self.lpips = LearnedPerceptualImagePatchSimilarity(normalize=True)


def test_without_network_the_model_builds_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serve_weights_from(monkeypatch, "http://127.0.0.1:1/alexnet-owt-0.pth")  # nothing listens there
    with lpips.optional_lpips():
        models = [Model(), Model()]
    assert [model.lpips for model in models] == [None, None]
    assert capsys.readouterr().out.count("LPIPS is left out") == 1
    original = torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity
    assert original.__module__ == "torchmetrics.image.lpip"


def test_a_model_that_is_not_measured_asks_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def asked() -> str:
        raise AssertionError("somebody looked for the weights")

    monkeypatch.setattr(lpips, "weights_url", asked)
    with lpips.without_lpips(), lpips.optional_lpips():
        assert Model().lpips is None
    assert capsys.readouterr().out == ""
    with lpips.optional_lpips(), pytest.raises(AssertionError, match="looked for"):
        Model()


def test_a_silent_server_costs_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a firewall: the connection stands but no answer ever comes."""
    monkeypatch.setattr(lpips, "PROBE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        serve_weights_from(monkeypatch, f"http://127.0.0.1:{server.getsockname()[1]}/alexnet-owt-0.pth")
        start = time.perf_counter()
        assert lpips.lpips_or_none(normalize=True) is None
        assert lpips.lpips_or_none(normalize=True) is None
        assert time.perf_counter() - start < 5


def test_a_download_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers the probe and then sends a part of the file only."""
    monkeypatch.setattr(lpips, "STALL_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def serve() -> None:
            for _ in range(2):
                connection, _address = server.accept()
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                kept.append(connection)

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/alexnet-owt-0.pth"
        serve_weights_from(monkeypatch, url)
        monkeypatch.setattr(lpips, "_Metric", lambda **_: torch.hub.load_state_dict_from_url(url, progress=False))
        assert lpips.lpips_or_none(normalize=True) is None
        assert len(kept) == 2, "the download was never tried"
        assert socket.getdefaulttimeout() is None
        assert not lpips.weights_file().exists()
        for connection in kept:
            connection.close()


@pytest.mark.slow
def test_weights_in_the_cache_are_used_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-in weights of the right shape: the metric is real, its numbers mean nothing."""
    lpips.weights_file().parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), lpips.weights_file())
    monkeypatch.setattr(lpips.urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked the network"))
    with lpips.optional_lpips():
        model = Model()
    image = torch.rand(1, 3, 64, 64)
    assert model.lpips(image, image).item() == pytest.approx(0, abs=1e-6)
    first, again = model.lpips(image, 1 - image), model.lpips(image, 1 - image)
    assert first.item() > 1e-3
    assert first.item() == again.item(), "an earlier image weighs in"
    assert not first.requires_grad
    assert not model.state_dict(), "AlexNet would be written into every checkpoint"
