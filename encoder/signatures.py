"""Files that are no scans, named by their first bytes so that their owner knows what to do."""

from __future__ import annotations

import codecs
from typing import NamedTuple

from encoder.errors import ScanError, ScanFault

_READ_FORMATS = "PNG, JPEG, WebP, BMP, TIFF, NumPy, NRRD, MetaImage, NIfTI, HDF5 or raw"
_CONTROL_BYTES = frozenset(range(32)) - frozenset(b"\t\n\r\f")


class _Signature(NamedTuple):
    """Bytes that a format has at a place, its name, and what to do."""

    at: int
    magic: bytes
    name: str
    remedy: str


_AS_IMAGE = "save it as PNG or TIFF"
_AS_VOLUME = "save it as TIFF, NRRD or MetaImage"
_UNPACK = "unpack it and give the files in it"

_IMAGES = (
    _Signature(0, b"GIF8", "GIF image", _AS_IMAGE),
    _Signature(0, b"\0\0\0\x0cjP  ", "JPEG 2000 image", _AS_IMAGE),
    _Signature(0, b"\xff\x4f\xff\x51", "JPEG 2000 image", _AS_IMAGE),
    _Signature(0, b"\0\0\0\x0cJXL ", "JPEG XL image", _AS_IMAGE),
    _Signature(0, b"\xff\x0a", "JPEG XL image", _AS_IMAGE),
    _Signature(4, b"ftypheic", "HEIC image", _AS_IMAGE),
    _Signature(4, b"ftypavif", "AVIF image", _AS_IMAGE),
    _Signature(0, b"8BPS", "Photoshop image", _AS_IMAGE),
    _Signature(0, b"\0\0\1\0", "Windows icon", _AS_IMAGE),
    _Signature(0, b"\x76\x2f\x31\x01", "OpenEXR image", _AS_IMAGE),
    _Signature(0, b"P5", "PGM image", _AS_IMAGE),
    _Signature(0, b"P6", "PPM image", _AS_IMAGE),
    _Signature(0, b"SIMPLE  =", "FITS image", _AS_IMAGE),
    _Signature(128, b"DICM", "DICOM image", _AS_VOLUME),
    _Signature(0, b"ZISRAWFILE", "Zeiss CZI image", "export it as OME-TIFF"),
    _Signature(0, b"# vtk DataFile", "VTK file", _AS_VOLUME),
    _Signature(0, b"MATLAB 5.0", "MATLAB file", _AS_VOLUME),
)

_OTHERS = (
    _Signature(0, b"%PDF", "PDF document", "save the picture in it as PNG or TIFF"),
    _Signature(0, b"PK\x03\x04", "ZIP archive", _UNPACK),
    _Signature(0, b"\x1f\x8b", "gzip archive", _UNPACK),
    _Signature(0, b"BZh", "bzip2 archive", _UNPACK),
    _Signature(0, b"\xfd7zXZ", "xz archive", _UNPACK),
    _Signature(0, b"\x28\xb5\x2f\xfd", "Zstandard archive", _UNPACK),
    _Signature(0, b"7z\xbc\xaf", "7z archive", _UNPACK),
    _Signature(0, b"Rar!", "RAR archive", _UNPACK),
    _Signature(257, b"ustar", "tar archive", _UNPACK),
    _Signature(0, b"<?xml", "XML document", "give the image that it describes"),
    _Signature(0, b"<!DOCTYPE", "web page", "download the image itself"),
    _Signature(0, b"<html", "web page", "download the image itself"),
    _Signature(0, b"\0\0\0\0\0\0\0\0", "file of zeros", "copy it again from its origin"),
)


def refuse_unknown(source: str, head: bytes) -> ScanError:
    """Return the fault of a file that no reader takes.

    Args:
        source: Name of the file.
        head: Its first bytes.

    Returns:
        ``UNSUPPORTED`` for images and volumes of other formats, ``NOT_AN_IMAGE`` else.
    """
    for signature in _IMAGES:
        if _has(head, signature):
            return ScanError(
                source,
                ScanFault.UNSUPPORTED,
                problem=f"it is a {signature.name}, expected {_READ_FORMATS}",
                remedy=signature.remedy,
            )
    name, remedy = "file of a kind that is not known", _AS_VOLUME
    if _is_text(head):
        name, remedy = "text file", "give the image that it belongs to"
    for signature in _OTHERS:
        if _has(head, signature):
            name, remedy = signature.name, signature.remedy
            break
    return ScanError(
        source,
        ScanFault.NOT_AN_IMAGE,
        problem=f"it is a {name}, expected {_READ_FORMATS}",
        remedy=remedy,
    )


def _has(head: bytes, signature: _Signature) -> bool:
    return head.startswith(signature.magic, signature.at)


def _is_text(head: bytes) -> bool:
    if not _CONTROL_BYTES.isdisjoint(head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
