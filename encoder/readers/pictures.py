"""PNG, JPEG, WebP and BMP by Pillow; PNG with 16-bit samples by imagecodecs, which keeps the bits.

Alpha is dropped, palettes are expanded (grey ones to one channel), CMYK becomes RGB, samples of
fewer than 8 bits fill the range of 8, and pictures are turned upright as EXIF says.
"""

from __future__ import annotations

import struct
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import imagecodecs
import numpy as np
from PIL import ExifTags, Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from encoder.errors import ScanError, ScanFault
from encoder.readers.faults import telling_damage, truncated
from encoder.readers.grid import make_grid
from encoder.readers.orientation import UPRIGHT, is_sideways, upright
from encoder.readers.png_chunks import SIGNATURE as PNG_SIGNATURE
from encoder.readers.png_chunks import check_png

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile

    from encoder.planes import ReadOptions, ScanInfo
    from encoder.readers.grid import Grid

_PLUGINS: dict[str, type[ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
}
_BMP_HEADER_BYTES = {12, 40, 52, 56, 64, 108, 124}
_WEBP_KINDS = {b"VP8 ", b"VP8L", b"VP8X"}
_HEAD_BYTES = 32
_READ_BYTES = 1 << 20
_JPEG_END = b"\xff\xd9"


class _Header(NamedTuple):
    """What is known before Pillow looks.

    Attributes:
        format_name: PNG, JPEG, WebP or BMP.
        size: (W, H), where its header is plain.
        deep_mode: ``"L"`` or ``"RGB"`` where samples have 16 bits.
        is_animated: Whether further frames follow.
    """

    format_name: str
    size: tuple[int, int] | None = None
    deep_mode: str | None = None
    is_animated: bool = False


def matches(head: bytes, path: Path) -> bool:  # noqa: ARG001 - every reader is asked alike
    """Say whether a file starts as one of these pictures does.

    Args:
        head: First bytes of the file.
        path: Its path; content alone decides here.
    """
    return _format_of(head) is not None


def open_planes(path: Path, options: ReadOptions) -> PicturePlanes:
    """Open a picture; its pixels are decoded when its plane is asked for.

    Args:
        path: File that ``matches``.
        options: Its ``max_pixels`` is checked before anything is decoded.

    Raises:
        ScanError: ``TRUNCATED``, ``UNREADABLE``, ``UNSUPPORTED``, ``ZERO_SIZE`` or ``TOO_LARGE``.
    """
    source = path.name
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        header = _read_header(file, source)
        if header.size is not None:
            _grid(source, header, size=header.size, max_pixels=options.max_pixels)
        file.seek(0)
        with telling_damage(source, f"{header.format_name} image"):
            image = stack.enter_context(_parse(file, header, source=source))
            if header.format_name == "JPEG" and not _has_jpeg_end(file):
                raise truncated(source, "its JPEG data have no end")
            orientation = _orientation_of(image)
            mode = header.deep_mode or _plain_mode(image)
        width, height = image.size[::-1] if is_sideways(orientation) else image.size
        grid = _grid(
            source,
            header,
            size=(width, height),
            samples=3 if mode == "RGB" else 1,
            max_pixels=options.max_pixels,
        )
        is_animated = header.is_animated or getattr(image, "is_animated", False)
        notes = ("an animation: only its first frame is read",) if is_animated else ()
        info = grid.describe(header.format_name, notes=notes)
        stack.pop_all()
    return PicturePlanes(file, image, info=info, mode=mode, orientation=orientation, source=source)


class PicturePlanes:
    """An open picture: one plane, kept once it is decoded.

    Attributes:
        info: Facts of the picture, held upright.
    """

    def __init__(
        self,
        file: IO[bytes],
        image: ImageFile,
        *,
        info: ScanInfo,
        mode: str,
        orientation: int,
        source: str,
    ) -> None:
        self.info = info
        self._file = file
        self._image = image
        self._mode = mode
        self._orientation = orientation
        self._source = source
        self._plane: NDArray[Any] | None = None

    def plane(self, index: int) -> NDArray[Any]:
        """Decode the picture.

        Args:
            index: 0, the only one.

        Returns:
            (H, W) or (H, W, 3), uint8 or uint16, read-only.

        Raises:
            IndexError: ``index`` is not 0.
            ScanError: ``TRUNCATED`` or ``UNREADABLE``.
        """
        if index != 0:
            raise IndexError(index)
        if self._plane is None:
            with telling_damage(self._source, f"{self.info.format} image"):
                self._plane = upright(self._decode(), self._orientation)
            self._plane.flags.writeable = False
        return self._plane

    def close(self) -> None:
        """Release the file."""
        self._image.close()
        self._file.close()

    def _decode(self) -> NDArray[Any]:
        if self.info.dtype == "uint16":
            self._file.seek(0)
            samples: NDArray[Any] = imagecodecs.png_decode(self._file.read())
            return _without_alpha(samples)
        image = self._image if self._image.mode == self._mode else self._image.convert(self._mode)
        return np.asarray(image)


def _format_of(head: bytes) -> str | None:
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(PNG_SIGNATURE):
        return "PNG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES:
        return "BMP"
    return None


def _read_header(file: IO[bytes], source: str) -> _Header:
    """Read what Pillow would choke on, skip or act on too early."""
    head = file.read(_HEAD_BYTES)
    format_name = _format_of(head)
    if format_name == "PNG":
        png = check_png(file, source)
        mode = "RGB" if png.is_colour else "L"
        deep_mode = mode if png.bit_depth == 16 else None
        return _Header("PNG", (png.width, png.height), deep_mode, png.is_animated)
    if format_name == "WebP":
        return _Header("WebP", _webp_size(file, head, source=source))
    if format_name == "BMP":
        return _Header("BMP", _bmp_size(head))
    return _Header("JPEG")


def _webp_size(file: IO[bytes], head: bytes, *, source: str) -> tuple[int, int] | None:
    """Read (W, H), for which Pillow's decoder takes memory at once (RFC 9649, section 2)."""
    promised = 8 + int.from_bytes(head[4:8], "little")
    found = file.seek(0, 2)
    if found < promised or head[12:16] not in _WEBP_KINDS or len(head) < 30:
        raise truncated(source, f"its WebP data end at byte {found:,} of {promised:,}")
    if head[12:16] == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", head, 26))
    return width, height


def _bmp_size(head: bytes) -> tuple[int, int] | None:
    """Read (W, H) from a BMP header; negative heights mean rows from the top."""
    if len(head) < 26:
        return None
    if head[14] == 12:
        width, height = struct.unpack_from("<HH", head, 18)
    else:
        width, height = struct.unpack_from("<Ii", head, 18)
    return width, abs(height)


def _parse(file: IO[bytes], header: _Header, *, source: str) -> ImageFile:
    # The plugin itself, not Image.open: we have sniffed, and its limit for bombs is not ours.
    try:
        return _PLUGINS[header.format_name](file)
    except Image.DecompressionBombError as error:  # WebP's has its own
        raise ScanError(
            source,
            ScanFault.TOO_LARGE,
            problem=f"its WebP image is too large to decode ({error})",
            remedy="save it as TIFF",
        ) from error
    except SyntaxError as error:
        if not file.read(1):
            raise truncated(source, f"its {header.format_name} header ends too early") from error
        raise


def _has_jpeg_end(file: IO[bytes]) -> bool:
    """Look for the end marker behind the header, where the parser stopped.

    A download that was broken off may leave zeros in place of the rest, which decode to grey.
    Within compressed data no 0xFF is followed by 0xD9 (ITU T.81, B.1.1.5).
    """
    before = b""
    while data := file.read(_READ_BYTES):
        if _JPEG_END in before + data:
            return True
        before = data[-1:]
    return False


def _grid(
    source: str, header: _Header, *, size: tuple[int, int], max_pixels: int, samples: int = 1
) -> Grid:
    width, height = size
    return make_grid(
        source,
        (1, height, width),
        dtype=np.dtype(np.uint16 if header.deep_mode else np.uint8),
        samples=samples,
        is_volume=False,
        max_pixels=max_pixels,
    )


def _orientation_of(image: ImageFile) -> int:
    if "exif" not in image.info and "xmp" not in image.info:
        return UPRIGHT
    orientation = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    return orientation if isinstance(orientation, int) else UPRIGHT


def _plain_mode(image: ImageFile) -> str:
    """Return ``"L"`` for pictures that are grey, ``"RGB"`` for the rest."""
    if image.mode in {"1", "L", "LA"}:
        return "L"
    if image.mode in {"P", "PA"}:
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        if (palette == palette[:, :1]).all():
            return "L"
    return "RGB"


def _without_alpha(samples: NDArray[Any]) -> NDArray[Any]:
    if samples.ndim == 2:
        return samples
    return samples[..., 0].copy() if samples.shape[2] < 3 else samples[..., :3].copy()
