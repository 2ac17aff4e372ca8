"""What `.ci/setup` decides, with a stand-in for pip that only notes what it was asked."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
INDEX = "https://download.pytorch.org/whl/cpu"
NO_CARD = pytest.mark.skipif(
    Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None,
    reason="this machine has an NVIDIA GPU or its tools: how a machine without one is recognised cannot be tried",
)

PIP = """#!/bin/sh
case "$1 $*" in
  --version*) ;;
  *"index versions torch"*"--index-url {index}"*) [ -n "$AT_INDEX" ] && echo "Available versions: $AT_INDEX" ;;
  *"index versions torch"*) echo "torch (9.9)"; echo "Available versions: $CONFIGURED" ;;
  install*) printf '%s\\n' "$@" > asked; echo "WARNING: noise"; echo "$PIP_SAYS"; exit "${{PIP_EXIT:-0}}" ;;
  *) exit 9 ;;
esac
"""
PYTHON = """#!/bin/sh
case "$2" in
  "") ;;
  "import torch; print"*) [ -n "$INSTALLED" ] && echo "$INSTALLED" || exit 1 ;;
  *"import torch, torchvision"*) echo "setup: ready: stand-in" ;;
  *) exit 9 ;;
esac
"""


@pytest.fixture
def setup(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a copy of `.ci/setup` in a checkout of its own, whose environment is made of stand-ins."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "setup", tmp_path / ".ci")
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name, content in {"pip": PIP.format(index=INDEX), "python": PYTHON}.items():
        (tools / name).write_text(content)
        (tools / name).chmod(0o755)

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [tmp_path / ".ci" / "setup"],
            env={"PATH": os.environ["PATH"], "CONFIGURED": "2.14.0, 2.13.0"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def asked_for(folder: Path) -> list[str]:
    """What pip was asked to install."""
    return (folder / "asked").read_text().split("\n")[:-1]


@NO_CARD
@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ({"CONFIGURED": "2.15.0, 2.13.0+cpu, 2.13.0, 2.6.0+cpu"}, ["torch==2.13.0+cpu"]),
        ({"AT_INDEX": "2.14.0+cpu, 2.13.0+cpu"}, ["torch==2.14.0+cpu", "--extra-index-url", INDEX]),
        ({}, ["torch"]),
    ],
    ids=["pip offers a CPU build", "pytorch's index offers one", "nobody does"],
)
def test_without_a_card_a_cpu_build_is_preferred(setup, tmp_path: Path, offered: dict, expected: list[str]) -> None:
    done = setup(**offered)
    assert done.returncode == 0, done.stderr
    assert asked_for(tmp_path) == ["install", "-e", ".[dev,process]", *expected]
    assert (tmp_path / ".venv" / ".ready").exists()
    assert ("gigabytes" in done.stdout) == (expected == ["torch"])


def with_card(folder: Path) -> str:
    """A PATH on which `nvidia-smi` lists a card."""
    (folder / "nvidia").mkdir()
    smi = folder / "nvidia" / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA Something (UUID: GPU-0)'\n")
    smi.chmod(0o755)
    return f"{smi.parent}:{os.environ['PATH']}"


def test_with_a_card_a_cpu_build_is_never_taken(setup, tmp_path: Path) -> None:
    """Not even a local one, which counts as newer than the CUDA build of the same version."""
    done = setup(PATH=with_card(tmp_path), CONFIGURED="2.13.0+cpu, 2.13.0, 2.12.0+cpu, 2.12.0")
    assert done.returncode == 0, done.stderr
    assert asked_for(tmp_path)[3:] == ["torch!=2.13.0+cpu,!=2.12.0+cpu"]


def test_with_a_card_an_installed_cpu_build_is_replaced(setup, tmp_path: Path) -> None:
    assert setup(PATH=with_card(tmp_path), INSTALLED="2.13.0+cpu cpu").returncode == 0
    assert asked_for(tmp_path)[3:] == ["torch"]


def test_with_a_card_an_installed_cuda_build_is_kept(setup, tmp_path: Path) -> None:
    assert setup(PATH=with_card(tmp_path), INSTALLED="2.7.1+cu126 12.6").returncode == 0
    assert asked_for(tmp_path)[3:] == ["torch==2.7.1+cu126"]


@pytest.mark.parametrize(("word", "expected"), [("cuda", "torch!=2.13.0+cpu"), ("cpu", "torch==2.13.0+cpu")])
def test_the_build_can_be_decided_by_hand(setup, tmp_path: Path, word: str, expected: str) -> None:
    assert setup(MACRO_SPLAT_TORCH=word, CONFIGURED="2.13.0+cpu, 2.13.0").returncode == 0
    assert asked_for(tmp_path)[3:] == [expected]
    wrong = setup(MACRO_SPLAT_TORCH="gpu")
    assert wrong.returncode == 1
    assert "MACRO_SPLAT_TORCH=gpu: only cpu or cuda" in wrong.stderr


@pytest.mark.parametrize(
    ("says", "remedy"),
    [
        ("fatal error: Python.h: No such file or directory", "python3-dev"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("Failed to establish a new connection: [Errno -2] Name or service not known", "PyPI cannot be reached"),
    ],
)
def test_a_failure_shows_the_end_of_the_log_and_a_remedy(setup, tmp_path: Path, says: str, remedy: str) -> None:
    done = setup(PIP_EXIT="1", PIP_SAYS=says, MACRO_SPLAT_TORCH="cpu")
    assert done.returncode == 1
    assert says in done.stderr
    assert remedy in done.stderr
    assert "WARNING" not in done.stderr
    assert not (tmp_path / ".venv" / ".ready").exists()


TOOLS = ["bash", "cut", "dirname", "du", "env", "grep", "ls", "paste", "sed", "sh", "sleep", "tail", "timeout", "touch"]
TOOLS += ["tr", "uname"]


def test_a_missing_compiler_is_named(setup, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    says = "error: subprocess-exited-with-error: building fpsample"
    done = setup(PATH=str(tools), PIP_EXIT="1", PIP_SAYS=says, MACRO_SPLAT_TORCH="cpu")
    assert done.returncode == 1
    assert "there is no C compiler" in done.stderr
    assert "build-essential" in done.stderr


def test_an_unusable_python_is_named(setup, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / ".venv")
    done = setup(PYTHON="/bin/false")
    assert done.returncode == 1
    assert "PYTHON=/bin/false" in done.stderr
