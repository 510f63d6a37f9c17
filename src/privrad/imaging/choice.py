"""Which of the slices in a folder make the one volume."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from privrad.imaging.slices import Other, Slice
from privrad.imaging.unreadable import Unreadable

VIEW = 0.985
"""The least cosine between the axes of slices of one view: 10 degrees."""
_SHOWN = 4

Group = list[Slice]


def choose(files: Sequence[Slice | Other], *, named: Path | None) -> Group:
    """The slices of the one volume among the files of a folder, or of that which the named file belongs to.

    Slices belong together by series, frame of reference, view, rows and columns; and by image type where slices of
    several types lie at one place. Without a name, single slices of another view or series are set aside (overviews),
    and what is derived where something original is left. Raises Unreadable where none or several are left, or where a
    file of the chosen series is faulty.
    """
    groups = _groups([file for file in files if isinstance(file, Slice)])
    others = [file for file in files if isinstance(file, Other)]
    chosen = _only(groups, others) if named is None else _of(named, groups, others)
    for other in others:
        if other.series in ("", chosen[0].series):
            raise other.error
    return chosen


def _groups(slices: Sequence[Slice]) -> list[Group]:
    views = view_numbers([one.orientation for one in slices])
    groups: dict[tuple[str, str, int, int, int], Group] = defaultdict(list)
    for one in slices:
        groups[one.series, one.frame, views[one.orientation], one.rows, one.columns].append(one)
    return [part for group in groups.values() for part in _by_type(group)]


def view_numbers(orientations: Sequence[tuple[float, ...]]) -> dict[tuple[float, ...], int]:
    """The view of each orientation: that of the first one given whose axes lie within 10 degrees and that began one."""
    met = [*dict.fromkeys(orientations)]
    axes = np.reshape(met, (-1, 2, 3))
    numbers = np.full(len(met), -1)
    while (left := np.flatnonzero(numbers < 0)).size:
        alike = ((axes[left] * axes[left[0]]).sum(axis=2) > VIEW).all(axis=1)
        alike[0] = True
        numbers[left[alike]] = numbers.max() + 1
    return dict(zip(met, numbers.tolist(), strict=True))


def _one_view(one: Slice, other: Slice) -> bool:
    return len({*view_numbers([other.orientation, one.orientation]).values()}) == 1


def _by_type(group: Group) -> list[Group]:
    """A group, or its image types apart where slices of several lie at one place."""
    types = defaultdict(set)
    for one in group:
        types[one.position].add(one.image_type)
    if all(len(met) == 1 for met in types.values()):
        return [group]
    parts: dict[tuple[str, ...], Group] = defaultdict(list)
    for one in group:
        parts[one.image_type].append(one)
    return [*parts.values()]


def _of(named: Path, groups: Sequence[Group], others: Sequence[Other]) -> Group:
    for other in others:
        if other.path == named:
            raise other.error
    return next(group for group in groups if any(one.path == named for one in group))


def _only(groups: Sequence[Group], others: Sequence[Other]) -> Group:
    several = [group for group in groups if len(group) > 1]
    left = [group for group in groups if len(group) > 1 or _is_odd_size(group[0], several)] or [*groups]
    left = [group for group in left if group[0].image_type[:1] != ("DERIVED",)] or left
    if not left:
        _refuse_none(others)
    if len(left) > 1 and not several and len({group[0].series for group in left}) == 1:
        frames = len({group[0].frame for group in left})
        if frames > 1:
            remedy = f"one series of {len(left)} slices, in {frames} frames of reference; export it in one"
            raise Unreadable("differing_slices", f"{remedy}, or their places cannot be compared")
        remedy = f"one series of {len(left)} slices, no two of them parallel; export it as parallel slices"
        raise Unreadable("not_parallel", remedy)
    if len(left) > 1:
        _refuse_several(left)
    return left[0]


def _is_odd_size(one: Slice, groups: Sequence[Group]) -> bool:
    """Whether a slice alone belongs to one of the groups by all but its rows and columns."""
    return any(
        (one.series, one.frame) == (group[0].series, group[0].frame) and _one_view(one, group[0]) for group in groups
    )


def _refuse_none(others: Sequence[Other]) -> NoReturn:
    faulty = [other for other in others if other.series is not None]
    if faulty:
        raise faulty[0].error
    reasons = Counter(other.error.reason for other in others if other.error.reason != "unknown_format")
    if len(reasons) == 1:
        raise next(other.error for other in others if other.error.reason in reasons)
    met = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none of them DICOM"
    below = sum(entry.is_dir() for entry in others[0].path.parent.iterdir())
    beside = f", and files in its {below} folder{'s' * (below != 1)} are not looked at" if below else ""
    remedy = f"of its {len(others)} files none is a CT slice ({met}){beside}; name the folder of the slices itself"
    raise Unreadable("no_ct_slices", remedy)


def _refuse_several(groups: Sequence[Group]) -> NoReturn:
    first = groups[0][0]
    sizes = {(one.rows, one.columns) for one, *_ in groups}
    if len({(one.series, one.frame, one.image_type) for one, *_ in groups}) == 1 and len(sizes) == len(groups):
        met = " and ".join(f"{rows} x {columns}" for rows, columns in sorted(sizes))
        remedy = f"one series has slices of {met} pixels; name a file of those to use, or export them alike"
        if all(_one_view(one, first) for one, *_ in groups):
            raise Unreadable("differing_slices", remedy)
    shown = "; ".join(_facts(group) for group in groups[:_SHOWN])
    more = f"; and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
    remedy = (
        f"{len(groups)} volumes in one folder: {shown}{more}; name a file of the one to use, in place of the folder"
    )
    raise Unreadable("several_series", remedy)


def _facts(group: Group) -> str:
    one = group[0]
    number = f"series {one.number}, " if one.number else ""
    size = f"{len(group)} of {one.rows} x {one.columns} pixels of {one.spacing[0]:.3g} mm"
    return f"{number}{size} ({one.path.name})"
