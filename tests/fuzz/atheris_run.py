"""Fuzzing that is guided by coverage: `python -m tests.fuzz.atheris_run --seconds 60 [PARSER]`, with the extra `fuzz`.

Half of the mutations are ours, half libFuzzer's own. Without a parser all of them get their share of the time, each in
a process of its own, for libFuzzer ends the process. An input that fails is left in the current folder as crash-*.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random


def fuzz(name: str, seconds: int, corpus: Path) -> None:
    """Fuzz one parser; does not return.

    Args:
        corpus: an empty folder.
    """
    import atheris

    # fmt: off
    with atheris.instrument_imports(include=["macro_splat.capture", "macro_splat.photographs", "macro_splat.process",
                                             "macro_splat.training.config_file", "macro_splat.utils", "yaml"]):
        # fmt: on
        from tests.fuzz.parsers import make_parsers

    parser = make_parsers(corpus.parent)[name]
    for i, seed in enumerate(parser.seeds):
        (corpus / f"seed_{i}").write_bytes(seed)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if data and random.random() < 0.5:
            return parser.mutate(bytes(data), random)[:max_size]
        return atheris.Mutate(data, max_size)

    options = [f"-max_total_time={seconds}", "-print_final_stats=1", "-rss_limit_mb=4096", "-max_len=20000"]
    arguments = [sys.argv[0], *options, "-timeout=20", "-verbosity=0", str(corpus)]
    atheris.Setup(arguments, lambda data: parser.judge(data) and None, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> int:
    """Fuzz, and print how many inputs each parser got; 1 if one failed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("parser", nargs="?")
    arguments.add_argument("--seconds", type=int, default=60)
    options = arguments.parse_args()
    if options.parser is not None:
        with tempfile.TemporaryDirectory() as folder:
            corpus = Path(folder) / "corpus"
            corpus.mkdir()
            fuzz(options.parser, options.seconds, corpus)
    from tests.fuzz.parsers import make_parsers

    with tempfile.TemporaryDirectory() as folder:
        names = list(make_parsers(Path(folder)))
    print("| parser | inputs | peak MB | outcome |\n|---|---|---|---|")
    failed = False
    for name in names:
        command = [sys.executable, "-m", "tests.fuzz.atheris_run", name]
        command += ["--seconds", str(max(1, options.seconds // len(names)))]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        lines = done.stderr.splitlines()
        stats = dict(line.removeprefix("stat::").split(":") for line in lines if line.startswith("stat::"))
        count, peak = (stats.get(key, "?").strip() for key in ("number_of_executed_units", "peak_rss_mb"))
        print(f"| {name} | {count} | {peak} | {'failed' if done.returncode else 'no failure'} |", flush=True)
        if done.returncode:
            failed = True
            print("\n".join(lines[-40:]), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
