"""The refusal of an image: why, and what to do about it."""

from __future__ import annotations

from pathlib import Path

LARGEST = 2**28


class Unreadable(ValueError):  # noqa: N818
    """An image that gives no radiograph, or a scan that gives no volume.

    `reason` is a short lasting name, fit for counting; `remedy` says what was met and how to mend it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.reason}: {self.remedy}"

    def of(self, path: Path) -> Unreadable:
        """The same refusal with the file named."""
        return Unreadable(self.reason, f"{printable(str(path))}: {self.remedy}")


def printable(text: str) -> str:
    """The text as one line that can be printed: other characters, and bytes that are not UTF-8, become escapes."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def check_size(rows: int, columns: int) -> None:
    """Refuse an image without pixels or with more than 2**28 of them, before any are decoded."""
    if rows < 1 or columns < 1:
        raise Unreadable("unreadable_file", f"{rows} rows and {columns} columns; export the image again")
    if rows * columns > LARGEST:
        raise Unreadable("too_large", f"{rows} x {columns} exceeds {LARGEST} pixels; export it at a lower resolution")
