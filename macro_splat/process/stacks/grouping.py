"""Which photographs form a focus stack: by folder, by file name, by EXIF focus distance or by capture time.

A stack is a series taken from one place with the plane of focus moved between the exposures. Nothing but the names
and the EXIF data is looked at here. `auto` groups only on evidence: a series counted through (`IMG_0001 …
IMG_0040`, `000 … 023`) may be views as well as slices, so it stays single photographs unless the EXIF focus distances
sweep; a folder that is one stack needs `by="folder"`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import PurePosixPath
from statistics import median
from typing import Any, get_args

from macro_splat.errors import MacroSplatError
from macro_splat.photographs.load import Photograph, natural_order
from macro_splat.process.config import Grouping, Motion
from macro_splat.process.stacks.places import Places, in_order, slice_places

_NUMBER = re.compile(r"(?<![0-9])(?:(?<![0-9A-Za-z])-)?[0-9]{1,15}(?![0-9])")
_CLOCK = re.compile(r"(?:19|20)[0-9]{6}[^0-9A-Za-z]?[0-9]{6,9}[^0-9]*$")
_WORD_BEFORE = re.compile(r"([A-Za-z]+)[^A-Za-z0-9]*$")
_SLICE_WORDS = {"s", "sl", "slice", "z", "zstack", "focus"}
_UNAMBIGUOUS_SLICE_WORDS = {
    "slice",
    "z",
    "zstack",
    "focus",
}  # one series of these is a stack: an `s` alone may be a scene
_POSE_WORDS = {"p", "pose", "pos", "position", "v", "view", "angle", "az", "stack", "station", "viewpoint"}
_SERIES_WORDS = {"cam", "camera", "row", "ring", "level", "tilt", "el", "elevation", "pass", "turn", "lap", "scan"} | {
    "take", "set", "batch", "session", "series", "day", "part", "roll", "card"
}  # fmt: skip  # counts that number whole series of views
_CARD_FOLDER = re.compile(r"[0-9]{3}[0-9A-Z_]{5}")  # 100CANON: DCF, a folder that cameras begin when one is full

_Groups = dict[str, list[Photograph]]
"""Photographs in order by the identity of their stack; identities are unique, single photographs included."""
_Numbers = dict[str, int]
"""Numbers of slices by the photographs' names, as far as these tell them."""


@dataclass(frozen=True)
class Stack:
    """Photographs of one pose."""

    id: str
    """Unique among the stacks of a capture: what the names have in common, or a count."""
    photographs: tuple[Photograph, ...]
    """In the order of the slices; one or more: a single photograph is a stack of one."""
    motion: Motion | None = None
    """What moved the plane of focus: the lens's ring or a rail; None = unknown."""
    places: Places | None = None
    """Which slices the photographs are, where their names tell it."""

    @property
    def middle(self) -> Photograph:
        """The photograph in the middle."""
        return self.photographs[len(self.photographs) // 2]

    @property
    def of_one_size(self) -> bool:
        """Whether all photographs have the same size."""
        return len({(photograph.width, photograph.height) for photograph in self.photographs}) == 1

    @property
    def slices(self) -> Places:
        """Which slices the photographs are; where nothing else is known, all, in their order."""
        return self.places or in_order(len(self.photographs))

    def without(self, names: Collection[str]) -> Stack:
        """Return the stack without these photographs; the others stay the slices that they are."""
        kept = [i for i, photograph in enumerate(self.photographs) if photograph.name not in names]
        return replace(self, photographs=tuple(self.photographs[i] for i in kept), places=self.slices.only(kept))


def group_stacks(
    photographs: Sequence[Photograph],
    *,
    by: Grouping = "auto",
    pattern: str | None = None,
    motion: Motion | None = None,
) -> list[Stack]:
    """Group photographs into stacks; every photograph is in exactly one, alone where it belongs to none.

    Stacks come in the natural order of their first names (`time` and `focus`: in the order of capture), slices by
    their number, else in the natural order of names (`time` and `focus`: as taken).

    Args:
        photographs: in any order.
        by: "folder": a folder is a stack. "name": the names count poses and slices. "time": series of exposures that
            pauses separate. "focus": sweeps of the EXIF focus distance. "none": no stacks. "auto": what
            `choose_grouping` finds evidence for.
        pattern: regular expression with the named groups `pose` and `slice`, searched for in the photograph's name
            (its path in the folder of photographs, with `/`). Implies "name".
        motion: noted in the stacks of two photographs and more.

    Raises:
        MacroSplatError: the pattern is no regular expression, lacks a group or fits no name; `by` finds nothing to go
            by ("auto" never complains).
    """
    if by not in get_args(Grouping):
        raise MacroSplatError(f"stacks by {by!r}: unknown; choose one of {', '.join(get_args(Grouping))}")
    if pattern is not None and by not in ("auto", "name"):
        raise MacroSplatError(f"stack pattern {pattern!r}: it groups by name, not by {by}; leave out one of the two")
    photographs = sorted(photographs, key=_by_name)
    if not photographs:
        return []
    if pattern is not None:
        groups, numbers = _by_pattern(photographs, pattern)
    else:
        groups, numbers = _GROUPERS[choose_grouping(photographs) if by == "auto" else by](photographs)
    counts = [_counted(members, numbers) for members in groups.values()]
    return [
        Stack(identity, tuple(members), motion if len(members) > 1 else None, places)
        for (identity, members), places in zip(groups.items(), slice_places(counts), strict=True)
    ]


def _counted(members: Sequence[Photograph], numbers: _Numbers) -> list[int] | None:
    """Return the numbers of a stack's slices, if all have one that is not the time of day."""
    known = [numbers[p.name] for p in members if p.name in numbers and not _CLOCK.search(PurePosixPath(p.name).stem)]
    return known if len(known) == len(members) > 1 else None


def choose_grouping(photographs: Sequence[Photograph]) -> Grouping:
    """Return what the photographs' names and EXIF data give evidence for: "name", "folder", "focus" or "none".

    Capture times alone are no evidence: a turntable that rests after each turn pauses like a camera between stacks.
    """
    photographs = sorted(photographs, key=_by_name)
    if any(_is_evident(photographs, candidate) for candidate in _name_candidates(photographs)):
        return "name"
    if _folders_are_evident(photographs):
        return "folder"
    return "none" if _focus_sweeps(photographs) is None else "focus"


# --- by name ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Split:
    """A photograph's name taken apart into pose and slice."""

    photograph: Photograph
    pose: tuple[str, str, str]
    """Folder, and what stands in the file name before and after the number of the slice."""
    slice: int
    word: str
    """The word before the number of the slice, in lower case."""
    other_words: tuple[str, ...]
    """The words before the other numbers."""


def _numbers(text: str) -> list[tuple[str, re.Match[str]]]:
    """Return every number in the text with the word that stands before it (lower case, "" if none does)."""
    found, end = [], 0
    for number in _NUMBER.finditer(text):
        word = _WORD_BEFORE.search(text[end : number.start()])
        found.append((word[1].lower() if word else "", number))
        end = number.end()
    return found


def _split(photograph: Photograph, by_word: bool) -> _Split | None:
    """Take a name apart at the number after a word such as `slice`, or at the last of two and more numbers."""
    path = PurePosixPath(photograph.name)
    numbers = _numbers(path.stem)
    if by_word:
        chosen = next((i for i in reversed(range(len(numbers))) if numbers[i][0] in _SLICE_WORDS), None)
    else:
        chosen = len(numbers) - 1 if len(numbers) > 1 else None
    if chosen is None:
        return None
    word, number = numbers[chosen]
    return _Split(
        photograph,
        pose=(str(path.parent), path.stem[: number.start()], path.stem[number.end() :]),
        slice=int(number[0]),
        word=word,
        other_words=tuple(other for i, (other, _) in enumerate(numbers) if i != chosen),
    )


def _name_candidates(photographs: Iterable[Photograph]) -> list[list[_Split]]:
    """Return the ways to take the names apart, the surest first; names that do not fit are left out."""
    photographs = list(photographs)
    ways = ([_split(photograph, by_word) for photograph in photographs] for by_word in (True, False))
    return [[split for split in splits if split is not None] for splits in ways]


def _by_pose(splits: Iterable[_Split]) -> dict[tuple[str, str, str], list[_Split]]:
    """Return the poses of two slices and more."""
    poses: dict[tuple[str, str, str], list[_Split]] = {}
    for split in splits:
        poses.setdefault(split.pose, []).append(split)
    return {pose: members for pose, members in poses.items() if len({member.slice for member in members}) > 1}


def _is_evident(photographs: Sequence[Photograph], splits: Sequence[_Split]) -> bool:
    """Return whether the names count slices, rather than views."""
    poses = _by_pose(splits)
    members = [split for stack in poses.values() for split in stack]
    if 2 * len(members) < len(photographs) or not members:
        return False
    words = {split.word for split in members}
    if words <= _SLICE_WORDS:
        return len(poses) > 1 or (words <= _UNAMBIGUOUS_SLICE_WORDS and len(members) > 2)
    others = {word for split in members for word in split.other_words}
    if words & (_POSE_WORDS | _SERIES_WORDS) or others & _SERIES_WORDS or len(poses) < 2:
        return False
    slices = [frozenset(split.slice for split in stack) for stack in poses.values()]
    size = median(len(numbers) for numbers in slices)
    same_count = Counter(slices).most_common(1)[0][1] >= 0.8 * len(slices)
    if others & _POSE_WORDS:  # the count of slices may start anew with every pose, or run on
        return size > 1 and (same_count or all(max(numbers) - min(numbers) < len(numbers) for numbers in slices))
    # Two bare numbers: three rows of 36 views are named like 3 poses of 36 slices, but few views of many slices are
    # rarer than many of few.
    return same_count and 3 <= size <= len(poses)


def _group_by_name(photographs: Sequence[Photograph]) -> tuple[_Groups, _Numbers]:
    candidates = _name_candidates(photographs)
    evident = [splits for splits in candidates if _is_evident(photographs, splits)]
    splits = next((splits for splits in evident + candidates if _by_pose(splits)), None)
    if splits is None:
        raise MacroSplatError(
            f"stacks by name: {photographs[0].name!r} and the other {len(photographs) - 1} names do not count poses "
            "and slices; give a pattern such as (?P<pose>.+)_(?P<slice>[0-9]+), or group by folder or time"
        )
    identities: dict[str, str] = {}
    for members in _by_pose(splits).values():
        pose = _unused(_pose_name(members[0]), set(identities.values()))
        identities |= {split.photograph.name: pose for split in members}
    numbers = {split.photograph.name: split.slice for split in splits}
    return _collect(photographs, identities, order=numbers), numbers


def _pose_name(split: _Split) -> str:
    folder, before, after = split.pose
    if split.word in _SLICE_WORDS:
        before = re.sub(rf"{split.word}[^A-Za-z0-9]*$", "", before, flags=re.IGNORECASE)
    return _join(folder, (before.rstrip("_-. ") + after.rstrip("_-. ")).lstrip("_-. "))


def _join(folder: str, name: str) -> str:
    """Return the identity of a stack. Files are named after it, so it must not lead out of their folder."""
    parts = (folder.removeprefix(".").strip("/") + "/" + name).split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..")) or "stack"


def _by_pattern(photographs: Sequence[Photograph], pattern: str) -> tuple[_Groups, _Numbers]:
    example = "such as (?P<pose>.+)_(?P<slice>[0-9]+)"
    try:
        expression = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise MacroSplatError(
            f"stack pattern {pattern!r} is no regular expression ({error}); give one {example}"
        ) from error
    lacking = [group for group in ("pose", "slice") if group not in expression.groupindex]
    if lacking:
        raise MacroSplatError(f"stack pattern {pattern!r} lacks the group `{lacking[0]}`; give one {example}")
    stacks: dict[str, str] = {}
    slices: dict[str, Any] = {}
    numbers: _Numbers = {}
    for photograph in photographs:
        match = expression.search(photograph.name)
        if match is not None and match["pose"] is not None:
            # Folders before the match belong to the pose: series in two folders may count alike.
            stacks[photograph.name] = _join(photograph.name[: match.start()].rpartition("/")[0], match["pose"])
            slices[photograph.name] = natural_order(match["slice"] or "")
            if re.fullmatch(r"-?[0-9]{1,15}", match["slice"] or ""):
                numbers[photograph.name] = int(match["slice"])
    if not stacks:
        raise MacroSplatError(
            f"stack pattern {pattern!r} fits none of {len(photographs)} names such as {photographs[0].name!r}; "
            f"give one {example}"
        )
    return _collect(photographs, stacks, order=slices), numbers


# --- by folder ----------------------------------------------------------------------------------------------------


def _group_by_folder(photographs: Sequence[Photograph]) -> tuple[_Groups, _Numbers]:
    folders = {photograph.name: str(PurePosixPath(photograph.name).parent) for photograph in photographs}
    top = next((photograph.path.parent.name for photograph in photographs if folders[photograph.name] == "."), "")
    top = _unused(top or "stack", set(folders.values()))
    folders = {name: top if folder == "." else folder for name, folder in folders.items()}
    return _collect(photographs, folders), _numbers_in_folders(photographs)


def _numbers_in_folders(photographs: Sequence[Photograph]) -> _Numbers:
    """Return the numbers in which alone the names of a folder differ."""
    names: dict[str, dict[str, tuple[str, int]]] = {}
    for photograph in photographs:
        path = PurePosixPath(photograph.name)
        found = _numbers(path.stem)
        _, number = next((n for n in reversed(found) if n[0] in _SLICE_WORDS), found[-1] if found else ("", None))
        if number is None:
            names.setdefault(str(path.parent), {})[photograph.name] = (path.stem, 0)
        else:
            rest = f"{path.stem[: number.start()]}#{path.stem[number.end() :]}"
            names.setdefault(str(path.parent), {})[photograph.name] = (rest, int(number[0]))
    consistent = [members for members in names.values() if len({rest for rest, _ in members.values()}) == 1]
    return {name: number for members in consistent for name, (_, number) in members.items()}


def _folders_are_evident(photographs: Sequence[Photograph]) -> bool:
    """Return whether there are several folders, named alike but for a number, of about equally many photographs."""
    sizes = Counter(str(PurePosixPath(photograph.name).parent) for photograph in photographs)
    sizes = Counter({folder: size for folder, size in sizes.items() if size > 1 and _numbers(folder)})
    if len(sizes) < 2 or sum(sizes.values()) < 0.8 * len(photographs):
        return False
    if len({_NUMBER.sub("#", folder) for folder in sizes}) > 1:
        return False
    words = {word for word, _ in _numbers(min(sizes))}
    if words & _SERIES_WORDS or _CARD_FOLDER.fullmatch(PurePosixPath(min(sizes)).name):
        return False
    if words & _POSE_WORDS:
        return True
    size = median(sizes.values())
    return 3 <= size <= len(sizes) and all(abs(s - size) <= 0.2 * size for s in sizes.values())


# --- by EXIF ------------------------------------------------------------------------------------------------------


def _group_by_focus(photographs: Sequence[Photograph]) -> tuple[_Groups, _Numbers]:
    sweeps = _focus_sweeps(photographs)
    if sweeps is None:
        known = sum(1 for photograph in photographs if photograph.exif.focus_distance_mm is not None)
        raise MacroSplatError(
            f"stacks by focus: the EXIF focus distances ({known} of {len(photographs)} photographs have one) do not "
            "sweep; group by folder, name or time"
        )
    return _numbered(photographs, sweeps), {}


def _focus_sweeps(photographs: Sequence[Photograph]) -> list[list[Photograph]] | None:
    """Cut the series where the focus distance jumps back; None unless it sweeps in one direction between jumps."""
    times = {photograph.name: time for photograph in photographs if (time := _clock(photograph)) is not None}
    series = list(photographs)
    if len(times) == len(series):
        series.sort(key=lambda photograph: times[photograph.name])
    distances = [photograph.exif.focus_distance_mm for photograph in series]
    steps = [after - before for before, after in pairwise(distances) if None not in (before, after)]  # type: ignore
    moves = [step for step in steps if step]
    if len(steps) + 1 < len(series) or 2 * len(moves) < len(steps) or len(series) < 5:
        return None
    direction = 1 if 2 * sum(step > 0 for step in moves) >= len(moves) else -1
    sweeps = [[series[0]]]
    spans = [0.0]
    for photograph, step in zip(series[1:], steps, strict=True):
        if step * direction < 0:
            if abs(step) < 0.5 * spans[-1] or len(sweeps[-1]) < 3:  # a wavering autofocus, no sweep
                return None
            sweeps.append([])
            spans.append(0.0)
        elif sweeps[-1]:
            spans[-1] += abs(step)
        sweeps[-1].append(photograph)
    return sweeps if len(sweeps[-1]) >= 3 else None


def _group_by_time(photographs: Sequence[Photograph]) -> tuple[_Groups, _Numbers]:
    times = {photograph.name: time for photograph in photographs if (time := _clock(photograph)) is not None}
    series = sorted((p for p in photographs if p.name in times), key=lambda photograph: times[photograph.name])
    gaps = [(times[after.name] - times[before.name]).total_seconds() for before, after in pairwise(series)]
    pause = _shortest_pause(gaps)
    if pause is None:
        raise MacroSplatError(
            f"stacks by time: no pause stands out among the {len(series)} capture times of {len(photographs)} "
            "photographs; group by folder or name"
        )
    stacks = [series[:1]]
    for photograph, gap in zip(series[1:], gaps, strict=True):
        if gap >= pause:
            stacks.append([])
        stacks[-1].append(photograph)
    return _numbered(photographs, stacks), {}


def _shortest_pause(gaps: Sequence[float]) -> float | None:
    """Return the shortest gap that is three times longer than any gap below it, and than the usual one."""
    whole_seconds = all(gap == int(gap) for gap in gaps)
    ordered = sorted(max(gap, 1.0 if whole_seconds else 0.05) for gap in gaps)
    for shorter, longer in list(pairwise(ordered))[max((len(ordered) - 1) // 2, 0) :]:
        if longer >= 3 * shorter:
            return longer
    return None


def _clock(photograph: Photograph) -> datetime | None:
    """Return when the photograph was taken, as the camera's clock showed it: only some cameras note their time zone."""
    taken = photograph.exif.taken
    return None if taken is None else taken.replace(tzinfo=None)


def _numbered(photographs: Sequence[Photograph], stacks: Sequence[Sequence[Photograph]]) -> _Groups:
    """Count the stacks; what is in none of them follows, in order, as stacks of one."""
    digits = max(3, len(str(len(stacks))))
    identities = {
        photograph.name: f"stack_{i + 1:0{digits}d}" for i, stack in enumerate(stacks) for photograph in stack
    }
    series = [photograph for stack in stacks for photograph in stack]
    rest = [photograph for photograph in photographs if photograph.name not in identities]
    return _collect(series + rest, identities)


# --- shared -------------------------------------------------------------------------------------------------------


def _group_single(photographs: Sequence[Photograph]) -> tuple[_Groups, _Numbers]:
    return _collect(photographs, {}), {}


def _collect(
    photographs: Sequence[Photograph],
    identities: Mapping[str, str],
    order: Mapping[str, Any] | None = None,
) -> _Groups:
    """Gather photographs of the same identity, those without one under a name of their own.

    Args:
        identities: of stacks, by the photographs' names.
        order: what sorts the photographs of a stack, by their names; else they keep their order.
    """
    shared: _Groups = {}
    single: list[Photograph] = []
    for photograph in photographs:
        name = identities.get(photograph.name)
        if name is None:
            single.append(photograph)
        else:
            shared.setdefault(name, []).append(photograph)
    if order is not None:
        shared = {
            name: sorted(members, key=lambda photograph: order[photograph.name]) for name, members in shared.items()
        }
    stems = Counter(str(PurePosixPath(photograph.name).with_suffix("")) for photograph in single)
    for photograph in single:
        name = str(PurePosixPath(photograph.name).with_suffix(""))
        if stems[name] > 1 or name in shared:
            name = photograph.name
        shared[_unused(name, shared)] = [photograph]
    position = {id(photograph): i for i, photograph in enumerate(photographs)}
    return dict(sorted(shared.items(), key=lambda item: min(position[id(member)] for member in item[1])))


def _by_name(photograph: Photograph) -> tuple:
    return natural_order(photograph.name)


def _unused(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "'"
    return name


_GROUPERS: dict[str, Callable[[Sequence[Photograph]], tuple[_Groups, _Numbers]]] = {
    "folder": _group_by_folder,
    "name": _group_by_name,
    "time": _group_by_time,
    "focus": _group_by_focus,
    "none": _group_single,
}
