"""What the samples of a TIFF page mean, and how they become grey or RGB.

tifffile hands samples out as stored (but YCbCr in JPEG as RGB). Source: TIFF Revision 6.0,
PhotometricInterpretation, ExtraSamples, ColorMap, InkSet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tifffile import TiffPage

ColourKind = Literal["grey", "white is zero", "palette", "rgb", "cmyk"]

_JPEG = {COMPRESSION.OJPEG, COMPRESSION.JPEG}
_ALPHA = {EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA}
_SEPARATE_PLANES = 2
_CMYK_INKS = 1


class Colour(NamedTuple):
    """How a page's samples are to be taken.

    Attributes:
        kind: What they are.
        channels: 1 (grey) or 3 (RGB) once taken.
        note: Oddity worth telling.
    """

    kind: ColourKind
    channels: Literal[1, 3]
    note: str | None = None


class Refusal(NamedTuple):
    """Why a sound page or stack can't be taken, and what its owner can do."""

    problem: str
    remedy: str


def colour_of(page: TiffPage) -> Colour | Refusal:
    """Return how a page's samples are to be taken, or why they can't be."""
    samples = page.samplesperpixel
    match _photometric(page):
        case PHOTOMETRIC.MINISBLACK:
            return _nameless_channels(page, "grey")
        case PHOTOMETRIC.MINISWHITE:
            return _nameless_channels(page, "white is zero")
        case PHOTOMETRIC.RGB if samples >= 3:
            colour = Colour("rgb", 3)
        case PHOTOMETRIC.YCBCR if samples >= 3 and _is_rgb_once_decoded(page):
            colour = Colour("rgb", 3)
        case PHOTOMETRIC.PALETTE if samples == 1 and _has_palette(page):
            colour = Colour("palette", 1 if _is_grey(_palette(page)) else 3)
        case PHOTOMETRIC.SEPARATED if _opaque_samples(page) == 4 and _is_cmyk(page):
            colour = Colour("cmyk", 3)
        case other:
            name = getattr(other, "name", other)
            return Refusal(
                f"its samples are of the kind {name} ({samples} a pixel)",
                "save it as a grey or RGB image",
            )
    return colour


def sample_type(page: TiffPage, colour: Colour) -> np.dtype[Any] | Refusal:
    """Return the type of the samples once taken, in native byte order, or why there is none."""
    if page.dtype is None:
        return Refusal(
            f"its samples have {page.bitspersample} bits in format {int(page.sampleformat)}",
            "save it with integers or floats of 8 to 64 bits",
        )
    if page.dtype.kind == "c":
        return Refusal("its samples are complex numbers", "save their magnitude")
    if colour.kind == "palette" or page.dtype.kind == "b":
        return np.dtype(np.uint8)
    return page.dtype.newbyteorder("=")


def take_samples(data: NDArray[Any], page: TiffPage, *, colour: Colour) -> NDArray[Any]:
    """Turn a page's samples into grey or RGB.

    Args:
        data: (H, W), (H, W, S) or, where the planes are stored apart, (S, H, W).
        page: The page that they come from.
        colour: What they mean.

    Returns:
        (H, W) or (H, W, 3) in native byte order; bool as uint8 of 0 and 1.
    """
    data = data.astype(data.dtype.newbyteorder("="), copy=False)
    if data.dtype.kind == "b":
        data = data.view(np.uint8)
    if data.ndim == 3 and page.planarconfig == _SEPARATE_PLANES:
        data = np.moveaxis(data, 0, -1)
    if colour.kind == "palette":
        return _expand(data, _palette(page))
    if colour.kind == "cmyk":
        return _from_cmyk(data)
    if colour.kind == "rgb":
        return np.ascontiguousarray(data[..., :3])
    grey = np.ascontiguousarray(data[..., 0]) if data.ndim == 3 else data
    return _inverted(grey, page.bitspersample) if colour.kind == "white is zero" else grey


def _nameless_channels(page: TiffPage, kind: ColourKind) -> Colour | Refusal:
    """Take one channel as grey, three as RGB, and refuse to guess at others."""
    match _opaque_samples(page):
        case 1:
            return Colour(kind, 1)
        case 3 if kind == "grey":
            note = "three channels without a name are taken for red, green, blue"
            return Colour("rgb", 3, note)
        case several:
            return Refusal(
                f"it has {several} channels, expected one (grey) or three (RGB)",
                "save the channel that shows the rock, or merge them to RGB",
            )


def _opaque_samples(page: TiffPage) -> int:
    return page.samplesperpixel - sum(extra in _ALPHA for extra in page.extrasamples)


def _photometric(page: TiffPage) -> int:
    if 262 in page.tags:
        return page.photometric
    return PHOTOMETRIC.RGB if page.samplesperpixel >= 3 else PHOTOMETRIC.MINISBLACK


def _is_rgb_once_decoded(page: TiffPage) -> bool:
    return page.compression in _JPEG and page.planarconfig != _SEPARATE_PLANES


def _is_cmyk(page: TiffPage) -> bool:
    ink_set = page.tags.valueof(332, default=_CMYK_INKS)
    return bool(ink_set == _CMYK_INKS and page.dtype is not None and page.dtype.kind == "u")


def _has_palette(page: TiffPage) -> bool:
    colours = page.colormap
    return (
        colours is not None
        and page.dtype is not None
        and page.dtype.kind in "bu"
        and colours.ndim == 2
        and colours.shape[0] == 3
        and colours.shape[1] >= 1 << page.bitspersample
    )


def _palette(page: TiffPage) -> NDArray[np.uint8]:
    """Return (N, 3) colours; maps of 16 bits are scaled down, those that hold 8 bits are not."""
    colours = cast("NDArray[Any]", page.colormap)
    if colours.max() > 0xFF:
        colours = colours >> 8
    return np.ascontiguousarray(colours.T.astype(np.uint8))


def _is_grey(palette: NDArray[np.uint8]) -> bool:
    return bool((palette == palette[:, :1]).all())


def _expand(indices: NDArray[Any], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    colours = palette[:, 0] if _is_grey(palette) else palette
    return np.asarray(colours[indices])


def _from_cmyk(data: NDArray[Any]) -> NDArray[Any]:
    """Mix inks: R = (1 - C) * (1 - K), and so on."""
    full = int(np.iinfo(data.dtype).max)
    left = full - data[..., :4].astype(np.float64)
    return np.rint(left[..., :3] * left[..., 3:] / full).astype(data.dtype)


def _inverted(data: NDArray[Any], bits: int) -> NDArray[Any]:
    """Let dark be low where the file says that zero is white."""
    if data.dtype.kind == "f":
        return -data
    if data.dtype.kind == "i":
        return ~data
    return np.asarray(data.dtype.type((1 << bits) - 1) - data)
