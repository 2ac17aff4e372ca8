"""torch's idle threads spin on processors that our kernels could use.

On Linux a torch thread that has run out of work spins for some milliseconds (GNU OpenMP's default) before it sleeps;
where torch's operators and kernels on Python's threads take turns, as in a training step, that costs a quarter of the
time. `OMP_WAIT_POLICY=passive` would end it but is read when torch is loaded, before any `ns-*` command asks for a
method. GNU OpenMP stops spinning by itself, however, once its teams together have more threads than there are
processors: one more team, asleep for good, is enough. Where the runtime is another one this does nothing.

Can go when `ns-train` lets a method set its environment, or torch makes the policy a run-time option.
"""

import functools
import os
import threading

import torch

_ENOUGH_FOR_ALL_THREADS = 1 << 21  # elements; torch gives each thread at least 2^15


@functools.cache
def stop_spinning() -> None:
    """Let torch's idle threads sleep at once, for the rest of the process; leaves a policy of the user's alone."""
    threads, processors = torch.get_num_threads(), _available_processors()
    if threads == 1 or os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        return
    teams = (processors - threads) // (threads - 1) + 1  # the first leaves threads + teams * (threads - 1) in all
    if teams > 2:  # most processors have nothing to do anyway
        return
    for _ in range(teams):
        started = threading.Event()
        threading.Thread(target=_hold_a_team, args=(started,), name="macro-splat-idle", daemon=True).start()
        started.wait()


def _hold_a_team(started: threading.Event) -> None:
    torch.zeros(_ENOUGH_FOR_ALL_THREADS).sin_()
    started.set()
    threading.Event().wait()


def _available_processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
