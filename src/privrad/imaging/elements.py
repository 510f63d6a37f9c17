"""Single elements of a DICOM header, and what they say of the whole file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from privrad.imaging.unreadable import Unreadable

_FARTHEST = 1e5
_SHORT = 256
_OF_EITHER_SIGN = ("PixelPaddingValue", "PixelPaddingRangeLimit")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # with the multi-frame ones below it
SCREENS = {"SCREEN", "SCREENSAVE", "SCREENSHOT"}
"""The words of ImageType that tell of a captured screen."""
_DOCUMENTS = "1.2.840.10008.5.1.4.1.1.104."
_CONVERSIONS = {
    "DV": "digitised video",
    "DI": "a digital interface",
    "DF": "digitised film",
    "WSD": "a workstation",
    "SD": "a scanned document",
    "SI": "a scanned image",
    "DRW": "a drawing",
    "SYN": "a synthetic image",
}
_MODALITIES = (
    *("AU", "BI", "BMD", "CR", "CT", "DOC", "DX", "ECG", "ES", "GM", "IO", "IVUS", "KO", "MG", "MR", "NM", "OCT", "OP"),
    *("OT", "PR", "PT", "PX", "REG", "RF", "RG", "RTDOSE", "RTIMAGE", "RTPLAN", "RTRECORD", "RTSTRUCT", "SC", "SEG"),
    *("SM", "SR", "TG", "US", "VA", "XA", "XC"),
)


def place(file: Dataset, keyword: str, *, count: int) -> tuple[float, ...]:
    """The `count` numbers of an element that says where a slice lies; raises Unreadable where they are not given."""
    found = numbers(file, keyword)
    if not found:
        remedy = f"it lacks {keyword}, without which nobody knows where it lies; export the original slices"
        raise Unreadable("no_position", remedy)
    if len(found) != count or not all(math.isfinite(number) and abs(number) < _FARTHEST for number in found):
        remedy = f"its {keyword} is {list(found)}, not {count} lengths or cosines; export the slice again"
        raise Unreadable("impossible_geometry", remedy)
    return found


def numbers(file: Dataset, keyword: str) -> tuple[float, ...]:
    """The numbers of an element, none where it is absent or empty; raises Unreadable for what is no number."""
    try:
        value = _value(file, keyword)
        if value is None or value == "":
            return ()
        several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        return tuple(float(part) for part in (value if several else [value]))
    except (ValueError, TypeError, ArithmeticError):
        raise Unreadable("unreadable_file", f"its {keyword} is no number; export the file again") from None


def whole(file: Dataset, keyword: str) -> int:
    """The first number of an element as a whole one; raises Unreadable where there is none."""
    found = numbers(file, keyword)
    if not found or not math.isfinite(found[0]):
        raise Unreadable("unreadable_file", f"the header lacks {keyword}; export the slice again")
    return int(found[0])


def text(file: Dataset, keyword: str) -> str:
    """The text of an element, "" where it is absent."""
    value = _value(file, keyword)
    return "" if value is None else str(value).strip()


def known(file: Dataset) -> str:
    """The modality for a message: one that the standard names, since anything may stand in a header."""
    given = text(file, "Modality").upper()
    if not given:
        return "modality not given"
    return given if given in _MODALITIES else "a modality that the standard does not name"


def set_aside(file: Dataset, *, trusted: bool) -> Unreadable | None:
    """Why a file is no radiograph or slice that may be used, or None.

    Documents never are; captured and scanned pictures, and what is declared to show annotation, only of a source that
    is trusted to have taken out names.
    """
    kinds = values(file, "SOPClassUID") or (sop_class(file),)
    if any(kind.startswith(_DOCUMENTS) for kind in kinds):
        return Unreadable(
            "encapsulated_document", "a document (PDF, CDA or a model to print), not an image; leave it out"
        )
    if trusted:
        return None
    if set(values(file, "BurnedInAnnotation")) - {"NO", ""}:
        remedy = "its header says that text is burned into the picture, or says neither yes nor no"
        return Unreadable("burned_in_annotation", f"{remedy}; export the original, or a cleaned copy")
    how = next((_CONVERSIONS[one] for one in values(file, "ConversionType") if one in _CONVERSIONS), "")
    how = "a screen" if picture_words(file) & SCREENS else how
    if how or any(f"{kind}.".startswith(f"{_SECONDARY_CAPTURE}.") for kind in kinds):
        made = f" from {how}" if how else ""
        remedy = f"a secondary capture{made}, which may show names; export the image as the modality made it"
        return Unreadable("secondary_capture", remedy)
    return None


def sop_class(file: Dataset) -> str:
    """What kind of object a file holds, if only its meta header says it; "" where neither does."""
    return text(file, "SOPClassUID") or str(file.file_meta.get("MediaStorageSOPClassUID", ""))


def values(file: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of an element of text, in capitals, none where it is absent or empty."""
    value = _value(file, keyword)
    if value is None or value == "":
        return ()
    several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return tuple(_plain(part) for part in (value if several else [value]))


def _plain(part: object) -> str:
    return (part.decode("latin-1") if isinstance(part, bytes) else str(part)).strip(" \0").upper()


def picture_words(file: Dataset) -> set[str]:
    """The words of ImageType, in capitals."""
    return {word for value in values(file, "ImageType") for word in value.replace("_", " ").split()}


@cache
def tag(keyword: str) -> BaseTag:
    """The tag of a standard element."""
    return Tag(keyword)


def _value(file: Dataset, keyword: str) -> Any:
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
