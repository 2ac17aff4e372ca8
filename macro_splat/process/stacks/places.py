"""Where the slices of a focus stack stand, by the numbers in their names: some may be missing, or be there twice."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

MIN_FILLED_SHARE = 0.5
"""Part of the places that must be taken: numbers with more holes, as a clock's, do not count slices."""


@dataclass(frozen=True)
class Places:
    """The slices of a stack among those that it was taken with."""

    at: tuple[int, ...]
    """Place of each photograph, from 0."""
    length: int
    """Places of the complete stack."""
    numbers: tuple[int, ...] = ()
    """Of the photographs, as in their names; () where these tell none."""
    missing: tuple[int, ...] = ()
    """Numbers that no photograph has."""

    def only(self, kept: Collection[int]) -> Places:
        """Return those of the photographs with these indices: what is left out leaves the others where they are."""
        at, numbers = (tuple(value for i, value in enumerate(all_) if i in kept) for all_ in (self.at, self.numbers))
        return replace(self, at=at, numbers=numbers)

    @property
    def doubled(self) -> tuple[int, ...]:
        """Numbers that several photographs have."""
        return tuple(sorted(number for number, count in Counter(self.numbers).items() if count > 1))


def in_order(count: int) -> Places:
    """Return slices of which nothing is known but their order."""
    return Places(tuple(range(count)), count)


def slice_places(stacks: Sequence[Sequence[int] | None]) -> list[Places | None]:
    """Return the places of the slices of each stack of a capture.

    Stacks that mostly begin and end with the same numbers were all taken with these, and one that lacks its first
    slice is known by that. Others, as those of a camera's running count, begin and end with their own.

    Args:
        stacks: numbers in the names, sorted; None where these tell none.

    Returns:
        None where the numbers do not count slices.
    """
    known = [numbers for numbers in stacks if numbers is not None and len(set(numbers)) > 1]
    if not known:
        return [None] * len(stacks)
    # A motor's count may go up by 500 from slice to slice.
    stride = math.gcd(*(after - before for numbers in known for before, after in pairwise(sorted(set(numbers)))))
    common = _common_range(known)
    if common is not None and not _filled({n for numbers in known for n in numbers if n <= common[1]}, common, stride):
        common = None
    result: list[Places | None] = []
    for numbers in stacks:
        span = None if numbers is None or len(set(numbers)) < 2 else (min(numbers), max(numbers))
        if numbers is None or span is None:
            result.append(None)
        elif common is not None and common[0] <= span[0] <= common[1] and (span[0] - common[0]) % stride == 0:
            result.append(_placed(numbers, common, stride))
        else:
            result.append(_placed(numbers, span, stride) if _filled(set(numbers), span, stride) else None)
    return result


def _common_range(stacks: Sequence[Sequence[int]]) -> tuple[int, int] | None:
    """Return the first and last number of most stacks."""
    ends = []
    for end in (min, max):
        number, count = Counter(end(numbers) for numbers in stacks).most_common(1)[0]
        if len(stacks) < 2 or 2 * count <= len(stacks):
            return None
        ends.append(number)
    return ends[0], ends[1]


def _filled(numbers: Collection[int], span: tuple[int, int], stride: int) -> bool:
    return len(numbers) >= MIN_FILLED_SHARE * ((span[1] - span[0]) // stride + 1)


def _placed(numbers: Sequence[int], span: tuple[int, int], stride: int) -> Places:
    first, last = span
    return Places(
        tuple((number - first) // stride for number in numbers),
        (last - first) // stride + 1,
        tuple(numbers),
        tuple(sorted(set(range(first, last + 1, stride)) - set(numbers))),
    )
