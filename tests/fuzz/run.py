"""Long runs of mutated files, reproducible: `python -m tests.fuzz.run --inputs 30000 [--seed 0] [PARSER ...]`.

Prints a table with a row for each parser and seed; what fails is kept in `--failures` and its traceback is printed,
once for each place in the code.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
import traceback
from pathlib import Path
from random import Random

from tests.fuzz.oracle import peak_megabytes
from tests.fuzz.parsers import Parser, make_parsers


def fuzz(parser: Parser, inputs: int, seed: int, failures: dict[str, tuple[bytes, str]]) -> int:
    """Feed mutations of the seeds to the parser, a fifth of them mutated twice; how many it accepted.

    Args:
        failures: gets the shortest input and the traceback of each kind of failure, by its place in the code.
    """
    random, accepted = Random(seed), 0
    for _ in range(inputs):
        data = random.choice(parser.seeds)
        for _ in range(random.choice([1, 1, 1, 1, 2])):
            data = parser.mutate(data, random)
        try:
            accepted += parser.judge(data)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
            known = failures.get(place)
            if known is None or len(data) < len(known[0]):
                failures[place] = data, traceback.format_exc()
    return accepted


def main() -> int:
    """Run it; 1 if anything failed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("parsers", nargs="*")
    arguments.add_argument("--inputs", type=int, default=1000, help="for each parser")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--rounds", type=int, default=1, help="each with the next seed")
    arguments.add_argument("--failures", type=Path, help="folder for inputs that failed")
    options = arguments.parse_args()
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        parsers = make_parsers(Path(folder))
        print("| parser | seed | inputs | accepted | failures | seconds | peak MB |\n|---|---|---|---|---|---|---|")
        seeds = range(options.seed, options.seed + options.rounds)
        for seed, name in itertools.product(seeds, options.parsers or parsers):
            failures: dict[str, tuple[bytes, str]] = {}
            begun = time.monotonic()
            accepted = fuzz(parsers[name], options.inputs, seed, failures)
            seconds = time.monotonic() - begun
            row = (name, seed, options.inputs, accepted, len(failures), f"{seconds:.0f}", f"{peak_megabytes():.0f}")
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
            for i, (place, (data, text)) in enumerate(failures.items()):
                print(f"{name}: {place}: {data[:300]!r}\n{text}", file=sys.stderr)
                if options.failures is not None:
                    options.failures.mkdir(parents=True, exist_ok=True)
                    (options.failures / f"{name}_{seed}_{i}").write_bytes(data)
            count += len(failures)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
