"""How many texts burned into radiographs are found, how often one is seen where none was put, and what it costs."""

from __future__ import annotations

import io
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.prepare import SIZE, radiograph
from privrad.cohorts import chest
from privrad.imaging.burned_in import Box, text_lines
from privrad.imaging.dicom import read_dicom
from privrad.imaging.radiograph import prepare

FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_COMPLEX)
TYPEFACES = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif")
NAMES = ("KOWALSKI", "Doe^John", "Schneider", "Petersen, Nils", "Nguyen Thi Hoa", "O'Brien", "GARCIA LOPEZ")
Draw: TypeAlias = Callable[[str, int, np.random.Generator], np.ndarray]
SMALLEST, LARGEST, BOUND = 10, 60, 0.10


def a_text(rng: np.random.Generator) -> str:
    """A name, a date or a number of five or more characters."""
    day, month, year = rng.integers((1, 1, 1925), (29, 13, 2025)).tolist()
    date = (f"{day:02}.{month:02}.{year}", f"{year}-{month:02}-{day:02}", f"{month}/{day}/{year}")[rng.integers(3)]
    number = ("", "ID", "MRN ")[rng.integers(3)] + "".join(map(str, rng.integers(0, 10, rng.integers(5, 11))))
    return (NAMES[rng.integers(len(NAMES))], date, number)[rng.integers(3)]


def by_opencv(text: str, height: int, rng: np.random.Generator) -> np.ndarray:
    """The ink of a text 0..1, its capitals `height` pixels high."""
    font, thick = FONTS[rng.integers(len(FONTS))], max(1, round(height / rng.uniform(7, 12)))
    scale = cv2.getFontScaleFromHeight(font, height, thick)
    (wide, high), below = cv2.getTextSize(text, font, scale, thick)
    ink = np.zeros((high + below + 2 * thick, wide + 2 * thick), np.uint8)
    cv2.putText(ink, text, (thick, high + thick), font, scale, 255, thick, cv2.LINE_AA)
    return ink.astype(np.float32) / 255


def by_typeface(text: str, height: int, rng: np.random.Generator) -> np.ndarray:
    """As `by_opencv`, in a typeface as screens have it."""
    path = Path(matplotlib.__file__).parent / f"mpl-data/fonts/ttf/{TYPEFACES[rng.integers(len(TYPEFACES))]}.ttf"
    font = ImageFont.truetype(str(path), round(height / 0.73))
    _, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    picture = Image.new("L", (right + 2, bottom + 2))
    ImageDraw.Draw(picture).text((1, 1), text, fill=255, font=font)
    return np.asarray(picture)[top:].astype(np.float32) / 255


def burned(picture: np.ndarray, ink: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Box]:
    """A picture with a text in its upper or lower quarter, in white where it is dark there and in black elsewhere."""
    rows, columns = picture.shape
    y = int(rng.integers(2, rows // 4 - len(ink)))
    y += 0 if rng.random() < 0.5 else 3 * rows // 4
    x = int(rng.integers(2, columns - ink.shape[1] - 2))
    part = (slice(y, y + len(ink)), slice(x, x + ink.shape[1]))
    shade = picture.max() if np.median(picture[part]) < (picture.min() + picture.max()) / 2 else picture.min()
    result = picture.copy()
    result[part] += ink * (shade - result[part])
    return result, (x, y, ink.shape[1], len(ink))


def is_found(picture: np.ndarray, box: Box) -> bool:
    """Whether a line is seen where the text is."""
    return any(
        all(one[i] < box[i] + box[i + 2] and box[i] < one[i] + one[i + 2] for i in (0, 1))
        for one in text_lines(picture)
    )


def phantom(seed: int, *, size: int) -> np.ndarray:
    """A drawn radiograph with a side marker and some devices, but without words."""
    rng = np.random.default_rng(seed)
    body = chest.draw_body(rng, sex="FM"[seed % 2], age=40 + seed % 40)
    devices = chest.draw_devices(rng, body=body, bedside=seed % 3 == 0)
    style: Literal["public", "private"] = "public" if seed % 4 < 2 else "private"
    drawn: np.ndarray = chest.frontal(body, {}, style=style, bedside=False, devices=devices, size=size, rng=rng)
    return drawn


def enlarged(path: Path, rng: np.random.Generator) -> np.ndarray:
    """A published radiograph at 1,024 to 2,048 pixels, with the noise that a detector has."""
    with Image.open(path) as picture:
        small = np.asarray(picture.convert("L"), dtype=np.float32)
    side = int(rng.integers(1024, 2049))
    large = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    noisy: np.ndarray = np.clip(large * 16 + rng.normal(0, 12, large.shape), 0, 4095).astype(np.float32)
    return noisy


def pictures(data: Path, *, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Drawn pictures, and real ones where there are any, none of them seen when the detector's numbers were chosen."""
    files = sorted((data / "cxr_nih/images").glob("*"))[1::2]
    for number in range(count):
        rng = np.random.default_rng(number)
        yield "drawn", phantom(1001 + 2 * number, size=int(rng.integers(1024, 2049)))
        if files:
            yield "nih", enlarged(files[number * len(files) // count], rng)


def recall(data: Path, *, count: int, texts: int) -> dict[str, float | int]:
    """The share of texts found and of untouched pictures in which a line is seen, by kind of picture."""
    found: dict[str, list[bool]] = defaultdict(list)
    seen: dict[str, list[bool]] = defaultdict(list)
    draw: tuple[Draw, ...] = (by_opencv, by_typeface)
    for number, (kind, picture) in enumerate(pictures(data, count=count)):
        rng = np.random.default_rng(9000 + number)
        seen[kind].append(bool(text_lines(picture)))
        for turn in range(texts):
            height = int(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST + 1))))
            ink = draw[turn % 2](a_text(rng), height, rng)
            if ink.shape[1] < picture.shape[1] - 8:
                found[kind].append(is_found(*burned(picture, ink, rng)))
    shares = {f"found_{kind}": round(float(np.mean(hits)), 4) for kind, hits in found.items()}
    return {
        "texts": sum(map(len, found.values())),
        **shares,
        **{f"seen_untouched_{kind}": round(float(np.mean(hits)), 4) for kind, hits in seen.items()},
    }


def cost(*, repeats: int) -> float:
    """The median share of preparing a radiograph that looking for text adds."""
    stream = io.BytesIO()
    radiograph().save_as(stream, enforce_file_format=True)
    shares = []
    for _ in range(repeats):
        start = time.perf_counter()
        values = read_dicom(io.BytesIO(stream.getvalue()))
        prepare(values, size=SIZE)
        middle = time.perf_counter()
        text_lines(values)
        shares.append((time.perf_counter() - middle) / (middle - start))
    return statistics.median(shares)


def main() -> None:
    """Measure, and print one JSON line."""
    cv2.setNumThreads(1)
    data = Path(os.environ.get("PRIVRAD_REAL_DATA", Path(__file__).parents[2] / "shared/data"))
    result = {"claim": "looking for burned-in text adds at most a tenth to preparing a radiograph", "bound": BOUND}
    print(json.dumps(result | {"ratio": round(cost(repeats=15), 3)} | recall(data, count=20, texts=6)))


if __name__ == "__main__":
    main()
