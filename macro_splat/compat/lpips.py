"""LPIPS needs AlexNet's weights (233 MB, downloaded once): a model must also build where they cannot be had.

nerfstudio's models construct torchmetrics' LPIPS when they are built, which downloads the weights; without a network
that fails, and behind a firewall that drops packets it hangs for minutes. Here the weights come from torch hub's
cache, or the network if it answers within seconds, or LPIPS is left out, which is said once.

Can go when nerfstudio builds its metrics lazily and survives a missing one.
"""

import functools
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import torch
import torchmetrics
import torchmetrics.image.lpip
from nerfstudio.utils.rich_utils import CONSOLE
from rich.markup import escape
from torch import Tensor

PROBE_SECONDS = 4.0
STALL_SECONDS = 20.0

_Metric = torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity
_wanted = ContextVar("_wanted", default=True)


class Lpips:
    """LPIPS of two images, kept out of the model's modules.

    As a module, AlexNet would be written into every checkpoint, and a run trained with the weights at hand would not
    load on a machine without them.
    """

    def __init__(self, metric: torchmetrics.Metric):
        self._metric = metric.eval()

    @torch.no_grad()
    def __call__(self, predicted: Tensor, target: Tensor) -> Tensor:
        """LPIPS (AlexNet) as a scalar tensor; both images [B, 3, H, W] in 0..1, on one device."""
        self._metric.to(predicted.device)
        value = self._metric(predicted, target)
        self._metric.reset()
        return value


def lpips_or_none(**kwargs) -> Lpips | None:
    """LPIPS if its weights are in torch hub's cache or can be downloaded, else None after one line that says so.

    Within `without_lpips` None at once.

    Args:
        kwargs: those of torchmetrics' `LearnedPerceptualImagePatchSimilarity` (nerfstudio's: `normalize=True`).
    """
    if not _wanted.get():
        return None
    if weights_file().is_file():
        return Lpips(_Metric(**kwargs))
    reason = why_unreachable()
    if reason is None:
        timeout = socket.getdefaulttimeout()
        socket.setdefaulttimeout(STALL_SECONDS)  # torch hub downloads without any: a stalled one would never end
        try:
            return Lpips(_Metric(**kwargs))
        except OSError as error:
            reason = str(error)
        finally:
            socket.setdefaulttimeout(timeout)
    _say_left_out(reason)
    return None


@contextmanager
def optional_lpips() -> Iterator[None]:
    """Within it a nerfstudio model builds without LPIPS weights; its `lpips` is then an `Lpips` or None."""
    module = torchmetrics.image.lpip
    module.LearnedPerceptualImagePatchSimilarity = lpips_or_none  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        module.LearnedPerceptualImagePatchSimilarity = _Metric  # type: ignore[misc]


@contextmanager
def without_lpips() -> Iterator[None]:
    """Within it models build without LPIPS, whether it could be had or not: for those that are not measured."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


def weights_file() -> Path:
    """Where torch hub keeps AlexNet's weights, whether they are there or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / weights_url().rsplit("/", 1)[-1]


def weights_url() -> str:
    """Where torchvision downloads AlexNet's weights from."""
    from torchvision.models import AlexNet_Weights

    return AlexNet_Weights.DEFAULT.url


@functools.cache
def why_unreachable() -> str | None:
    """None if the server of the weights answers within `PROBE_SECONDS`, else the reason why it is out of reach."""
    outcome: list[str | None] = []

    def probe() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(weights_url(), method="HEAD"), timeout=PROBE_SECONDS):
                outcome.append(None)
        except OSError as error:
            outcome.append(str(error))

    # In a thread, because looking up a name obeys no timeout.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return outcome[0] if outcome else f"no answer within {PROBE_SECONDS:.0f} s"


@functools.cache
def _say_left_out(reason: str) -> None:
    CONSOLE.print(
        f"[yellow]LPIPS is left out of the metrics: AlexNet's weights cannot be downloaded ({escape(reason)}). "
        f"To have it, put {weights_url()} into {weights_file().parent}."
    )
