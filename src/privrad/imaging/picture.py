"""PNG and JPEG pictures as grey values."""

from __future__ import annotations

import io
import math
import warnings

import cv2
import numpy as np
from PIL import Image

from privrad.imaging.unreadable import Unreadable, check_size

_TINT_DEPARTURE = 16 / 255
_COLOURED_SHARE = 0.02
_LOOKED_AT = 2**20
_FITS = 4
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def read_picture(content: bytes) -> np.ndarray:
    """Decode a PNG or JPEG into grey values, float32 or uint16 [rows, columns].

    Raises Unreadable for colour, for animations and for too many pixels; a broken file raises what Pillow raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        except Image.DecompressionBombError:
            limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise Unreadable("too_large", f"more than {limit} pixels; export it at a lower resolution") from None
        check_size(picture.height, picture.width)
        frames = getattr(picture, "n_frames", 1) if picture.format == "PNG" else 1
        if frames > 1:
            raise Unreadable("several_frames", f"an animation of {frames} frames; save the one to use as a file")
        picture.load()
        if picture.format == "PNG" and content[24] == 16 and len(picture.getbands()) > 1:
            return _deep(content)
        if picture.mode.startswith("I"):
            return _deep_grey(picture)
        if picture.has_transparency_data:
            return grey(np.asarray(picture.convert("RGBA")))
        if picture.mode in ("1", "L"):
            return np.asarray(picture.convert("L")).astype(np.uint16)
        return grey(np.asarray(picture.convert("RGB")))


def _deep(content: bytes) -> np.ndarray:
    """A 16-bit PNG of several channels, which Pillow would reduce to 8 bits."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise Unreadable("unreadable_file", "the 16-bit PNG cannot be decoded; export or copy the file again")
    if pixels.ndim == 2:
        return pixels
    order = [2, 1, 0, 3][: pixels.shape[2]]
    return grey(pixels[..., order])


def _deep_grey(picture: Image.Image) -> np.ndarray:
    values = np.asarray(picture).astype(np.uint16)
    clear = picture.info.get("transparency")
    return np.where(values == clear, np.uint16(0), values) if isinstance(clear, int) else values


def grey(colours: np.ndarray) -> np.ndarray:
    """Turn a picture [rows, columns, 3 or 4], RGB or RGBA, uint8 or uint16, into grey float32 [rows, columns].

    It counts as grey when its colour follows from its brightness, as in a tinted film: at most 2 % of the pixels may
    have a channel more than 16/255 from the quadratic function of luma that fits the others. Alpha lies over black.
    Raises Unreadable for a picture in colour.
    """
    full = float(np.iinfo(colours.dtype).max)
    red, green, blue = (colours[..., channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        luma = red.astype(np.float32)
    else:
        luma = colours[..., :3].astype(np.float32) @ _LUMA
        step = math.ceil(math.sqrt(luma.size / _LOOKED_AT))
        share = _coloured_share(colours[::step, ::step] / full, luma[::step, ::step] / full)
        if share > _COLOURED_SHARE:
            raise Unreadable("colour_image", f"{share:.0%} of its pixels have a colour of their own; export it in grey")
    if colours.shape[2] == 4:
        luma *= colours[..., 3].astype(np.float32) / np.float32(full)
    return luma


def _coloured_share(colours: np.ndarray, luma: np.ndarray) -> float:
    """The share of pixels that depart from the tint of their brightness; both arguments in 0..1."""
    brightness = luma.astype(np.float64).ravel()
    powers = np.stack([np.ones_like(brightness), brightness, brightness**2], axis=1)
    channels = colours[..., :3].reshape(-1, 3)
    departs = np.zeros(len(channels), dtype=bool)
    for _ in range(_FITS):
        tinted = np.where(departs[:, None], 0, powers)
        tint = powers @ np.linalg.lstsq(tinted.T @ powers, tinted.T @ channels, rcond=None)[0]
        departs = (np.abs(channels - tint) > _TINT_DEPARTURE).any(axis=1)
    return float(departs.mean())
