"""Single elements of a DICOM header, and whether the header was cut short."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, BinaryIO

from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import FileDataset
from pydicom.tag import BaseTag, Tag

from privrad.imaging.unreadable import Unreadable

_FARTHEST = 1e5
_META_START = 144
_SHORT = 256
_OF_EITHER_SIGN = ("PixelPaddingValue", "PixelPaddingRangeLimit")


def place(file: FileDataset, keyword: str, *, count: int) -> tuple[float, ...]:
    """The `count` numbers of an element that says where a slice lies; raises Unreadable where they are not given."""
    found = numbers(file, keyword)
    if not found:
        remedy = f"it lacks {keyword}, without which nobody knows where it lies; export the original slices"
        raise Unreadable("no_position", remedy)
    if len(found) != count or not all(math.isfinite(number) and abs(number) < _FARTHEST for number in found):
        remedy = f"its {keyword} is {list(found)}, not {count} lengths or cosines; export the slice again"
        raise Unreadable("impossible_geometry", remedy)
    return found


def numbers(file: FileDataset, keyword: str) -> tuple[float, ...]:
    """The numbers of an element, none where it is absent or empty; raises Unreadable for what is no number."""
    try:
        value = _value(file, keyword)
        if value is None or value == "":
            return ()
        several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        return tuple(float(part) for part in (value if several else [value]))
    except (ValueError, TypeError, ArithmeticError):
        raise Unreadable("unreadable_file", f"its {keyword} is no number; export the file again") from None


def whole(file: FileDataset, keyword: str) -> int:
    """The first number of an element as a whole one; raises Unreadable where there is none."""
    found = numbers(file, keyword)
    if not found or not math.isfinite(found[0]):
        raise Unreadable("unreadable_file", f"the header lacks {keyword}; export the slice again")
    return int(found[0])


def text(file: FileDataset, keyword: str) -> str:
    """The text of an element, "" where it is absent."""
    value = _value(file, keyword)
    return "" if value is None else str(value).strip()


def sop_class(file: FileDataset) -> str:
    """What kind of object a file holds, if only its meta header says it; "" where neither does."""
    return text(file, "SOPClassUID") or str(file.file_meta.get("MediaStorageSOPClassUID", ""))


def image_type(file: FileDataset) -> tuple[str, ...]:
    """The values of ImageType in capitals."""
    value = _value(file, "ImageType") or ()
    return tuple(str(part).upper() for part in ([value] if isinstance(value, str) else value))


@cache
def tag(keyword: str) -> BaseTag:
    """The tag of a standard element."""
    return Tag(keyword)


def _value(file: FileDataset, keyword: str) -> Any:
    """The value of an element, or None; most are the same in all slices of a series and are converted once."""
    raw = file.get_item(tag(keyword))
    if not isinstance(raw, RawDataElement) or keyword in _OF_EITHER_SIGN:
        return file.get(keyword)
    if not isinstance(raw.value, bytes) or len(raw.value) > _SHORT:
        return file.get(keyword)
    return _converted(raw._replace(value_tell=0))


@lru_cache(maxsize=1024)
def _converted(raw: RawDataElement) -> Any:
    return convert_raw_data_element(raw).value


def is_cut(file: FileDataset, stream: BinaryIO) -> bool:
    """Whether a header that was just read from the stream, none of its values looked at yet, ends within a value."""
    size = os.fstat(stream.fileno()).st_size
    meta = file.file_meta.get("FileMetaInformationGroupLength") or 0
    if _META_START + meta > size > _META_START:
        return True
    values = (file.get_item(key) for key in file.keys())  # noqa: SIM118 (a Dataset iterates over its elements)
    return any(
        isinstance(raw, RawDataElement) and raw.value is not None and len(raw.value) < raw.length < 0xFFFFFFFF
        for raw in values
    )
