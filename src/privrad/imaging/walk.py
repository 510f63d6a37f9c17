"""Walking over the elements of a DICOM file: those allowed are read, all others passed over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import BinaryIO, Literal, NamedTuple

from pydicom import uid
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from privrad.imaging import allowed
from privrad.imaging.inflate import inflated
from privrad.imaging.unreadable import Unreadable

UNDEFINED = 0xFFFFFFFF
ITEM, _ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_META = allowed.tags(allowed.META)
_TABLE = allowed.tags(allowed.TABLE)
_TABLES = frozenset({0x00283000, 0x00283010})
_PIXELS = allowed.tags(allowed.PIXELS)
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_LARGEST_VALUE, _MOST_ELEMENTS, _DEEPEST = 2**20, 2**18, 64
_HEADS = {little: Struct(f"{'<' if little else '>'}HHL").unpack for little in (True, False)}


class Element(NamedTuple):
    """An element whose value begins at `start`; `vr` is None where the encoding leaves it to the dictionary."""

    tag: int
    vr: str | None
    length: int
    start: int

    def raw(self, value: bytes, *, little: bool) -> RawDataElement:
        """The element with its value, for pydicom to convert when it is asked for."""
        found = value if self.length else None
        return RawDataElement(BaseTag(self.tag), self.vr, self.length, found, self.start, self.vr is None, little)


@dataclass(frozen=True)
class Header:
    """The allowed elements of a DICOM file up to its pixels, which are left unread.

    `pixels` are the tag, the representation, the length and the start in `stream` of the element that holds them, None
    where there is none; `stream` is the file, or what it inflates to. `cut` says that it ends within an element.
    """

    elements: Dataset
    stream: BinaryIO
    pixels: Element | None
    cut: bool


@dataclass
class _Walk:
    """Where a walk stands, and how its elements are encoded."""

    stream: BinaryIO
    size: int
    implicit: bool
    little: bool
    met: int = 0
    cut: bool = False

    def next(self) -> Element | None:
        """The element that begins here, or None at the end of the file."""
        self.met += 1
        if self.met > _MOST_ELEMENTS:
            raise Unreadable("unreadable_file", f"more than {_MOST_ELEMENTS} elements; export the image again")
        head = self.stream.read(8)
        if len(head) < 8:
            self.cut |= bool(head)
            return None
        group, number, length = _HEADS[self.little](head)
        vr = head[4:6]
        start = self.stream.tell()
        if self.implicit or group == 0xFFFE or not _is_representation(vr):
            return Element(group << 16 | number, None, length, start)
        order: Literal["little", "big"] = "little" if self.little else "big"
        if vr not in _LONG:
            return Element(group << 16 | number, vr.decode(), int.from_bytes(head[6:], order), start)
        long = self.stream.read(4)
        if len(long) < 4:
            self.cut = True
            return None
        length = int.from_bytes(long, order)
        return Element(group << 16 | number, vr.decode(), length, start + 4)

    def pass_over(self, element: Element) -> None:
        """Go to the end of an element, however deep its sequences are nested, without keeping any of it."""
        self.stream.seek(element.start)
        if element.length != UNDEFINED:
            self._skip(element.length)
            return
        depth = 1
        while depth:
            inner = self.next()
            if inner is None:
                self.cut = True
                return
            if inner.tag in (_ITEM_END, SEQUENCE_END):
                depth -= 1
            elif inner.length == UNDEFINED:
                depth += 1
                if depth > _DEEPEST:
                    remedy = f"its sequences are nested more than {_DEEPEST // 2} deep; export the image again"
                    raise Unreadable("unreadable_file", remedy)
            else:
                self._skip(inner.length)

    def read(self, element: Element) -> RawDataElement | DataElement:
        """An allowed element, its value read; of a sequence the table in its first item."""
        if element.tag in _TABLES:
            table = DataElement(element.tag, "SQ", Sequence(self._tables(element)))
            self.pass_over(element)
            return table
        if element.length > _LARGEST_VALUE:
            remedy = f"element {BaseTag(element.tag)} has {element.length} bytes; export the image again"
            raise Unreadable("unreadable_file", remedy)
        value = self.stream.read(element.length)
        self.cut |= len(value) < element.length
        return element.raw(value, little=self.little)

    def _tables(self, element: Element) -> list[Dataset]:
        item = self.next()
        if item is None or item.tag != ITEM:
            return []
        end = element.start + element.length if element.length != UNDEFINED else self.size
        if item.length != UNDEFINED:
            end = min(end, item.start + item.length)
        found = Dataset()
        while self.stream.tell() < end:
            inner = self.next()
            if inner is None or inner.tag == _ITEM_END:
                break
            if inner.tag in _TABLE:
                found[inner.tag] = self.read(inner)
            else:
                self.pass_over(inner)
        return [found]

    def _skip(self, length: int) -> None:
        self.cut |= self.stream.seek(length, os.SEEK_CUR) > self.size


def _is_representation(two: bytes) -> bool:
    """Whether two bytes can be the value representation of an element, which is two capitals."""
    return two.isalpha() and two.isupper() and two.isascii()


def read_header(stream: BinaryIO, wanted: frozenset[int]) -> Header:
    """The elements of a file with one of the wanted tags, and where its pixels are.

    The preamble may be lacking. Of the meta information and of tables only what `allowed` names is read, of all else
    nothing. Raises Unreadable for sequences too deep, too many elements, values too long, and inflation out of bounds.
    """
    if stream.read(132)[128:] != b"DICM":
        stream.seek(0)
    meta = FileMetaDataset()
    cut = _read_meta(stream, meta)
    syntax = uid.UID(str(meta.get("TransferSyntaxUID") or ""))
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        stream = inflated(stream)
    start = stream.tell()
    first = stream.read(6)
    stream.seek(start)
    implicit = not _is_representation(first[4:])
    guessed = not syntax and not implicit and int.from_bytes(first[:2], "little") >= 1024
    walk = _Walk(stream, _size(stream), implicit, little=not (guessed or syntax == uid.ExplicitVRBigEndian), cut=cut)
    elements = Dataset()
    pixels = None
    for element in _elements(walk):
        if element.tag in _PIXELS:
            pixels = element
            break
        if element.tag in wanted:
            elements[element.tag] = walk.read(element)
        else:
            walk.pass_over(element)
    elements.file_meta = meta
    elements.set_original_encoding(walk.implicit, walk.little, "iso8859")
    return Header(elements, stream, pixels, walk.cut)


def _elements(walk: _Walk) -> Iterator[Element]:
    while not walk.cut and (element := walk.next()) is not None and element.tag != _ITEM_END:
        yield element


def _read_meta(stream: BinaryIO, meta: FileMetaDataset) -> bool:
    """Read the allowed meta information, and whether it is cut short; the stream is left where the dataset begins."""
    walk = _Walk(stream, _size(stream), implicit=False, little=True)
    start = stream.tell()
    for element in _elements(walk):
        if element.tag >> 16 not in (0, 2):
            stream.seek(start)
            break
        if element.tag in _META:
            meta[element.tag] = walk.read(element)
        else:
            walk.pass_over(element)
        start = stream.tell()
    return walk.cut


def _size(stream: BinaryIO) -> int:
    here = stream.tell()
    size = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    return size
