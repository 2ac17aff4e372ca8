"""The order in which training views are dealt out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class PoseSampler:
    """Rounds in which every pose comes up once, whatever its number of photographs.

    Within a pose the photographs (the slices of a focus stack) take turns, so over the rounds they come up equally
    often too. The order is random, but only from the seed and the state: it does not touch torch's global generator,
    and a restored sampler goes on with the very sequence that it would have had.

    Args:
        poses: the pose of each photograph, any integers.
        seed: of the generator.
    """

    def __init__(self, poses: Sequence[int], seed: int):
        numbers = sorted(set(poses))
        self._members = [[i for i, pose in enumerate(poses) if pose == n] for n in numbers]
        self._generator = torch.Generator().manual_seed(seed)
        self._turns: list[list[int]] = [[] for _ in numbers]  # per pose, the photographs still to come

    def next_round(self) -> list[int]:
        """Indices of photographs, one of each pose, in random order."""
        return [self._next_of(pose) for pose in self._shuffled(range(len(self._members)))]

    def _next_of(self, pose: int) -> int:
        if not self._turns[pose]:
            self._turns[pose] = self._shuffled(self._members[pose])
        return self._turns[pose].pop()

    def _shuffled(self, items: Sequence[int]) -> list[int]:
        return [items[i] for i in torch.randperm(len(items), generator=self._generator).tolist()]

    def state(self) -> dict[str, Tensor]:
        """All that decides the rounds to come, as tensors (safe to store in a checkpoint)."""
        return {
            "generator": self._generator.get_state(),
            "turn_counts": torch.tensor([len(turns) for turns in self._turns], dtype=torch.int64),
            "turns": torch.tensor([i for turns in self._turns for i in turns], dtype=torch.int64),
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from `state()` of a sampler over the same photographs.

        Raises:
            ValueError: the state belongs to other photographs.
        """
        counts, turns = state["turn_counts"].tolist(), iter(state["turns"].tolist())
        restored = [[next(turns) for _ in range(count)] for count in counts]
        if len(restored) != len(self._members) or any(
            not set(turns) <= set(members) for turns, members in zip(restored, self._members, strict=True)
        ):
            raise ValueError("the sampler's state belongs to a capture with other photographs")
        self._turns = restored
        self._generator.set_state(state["generator"].cpu())
