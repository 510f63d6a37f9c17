"""Messages about a damaged DICOM file that hold nothing of what it says."""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.config import disable_value_validation

from privrad.imaging.unreadable import Unreadable

log = logging.getLogger("privrad")


@contextmanager
def quiet() -> Iterator[None]:
    """Let no value of a damaged header into a message: neither pydicom's warnings nor the text of its exceptions."""
    try:
        with warnings.catch_warnings(), disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    except (Unreadable, NameError, ImportError, OSError, MemoryError):
        raise
    except Exception as error:
        met = "".join(traceback.format_tb(error.__traceback__))
        log.debug("a file that is refused, %s at\n%s", type(error).__name__, met)
        remedy = f"its header or pixels are damaged ({type(error).__name__}); export or copy the file again"
        raise Unreadable("unreadable_file", remedy) from None
