from __future__ import annotations

import gzip
from contextlib import closing
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its manual does

from encoder.errors import ScanError, ScanFault
from encoder.planes import ReadOptions, ScanInfo
from encoder.readers import nifti

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

nib: Any = nibabel  # most of it has no types
NAMES = ["rock.nii", "rock.nii.gz"]


def read(path: Path) -> tuple[ScanInfo, NDArray[Any]]:
    with closing(nifti.open_planes(path, ReadOptions())) as source:
        return source.info, np.stack([source.plane(i) for i in range(source.info.n_planes)])


def refusal(path: Path, max_pixels: int = 1000) -> ScanError:
    with pytest.raises(ScanError) as told:
        nifti.open_planes(path, ReadOptions(max_pixels=max_pixels))
    assert told.value.source == path.name
    return told.value


def numbers(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    return np.random.default_rng(7).integers(0, 100, shape).astype(dtype)


def save(path: Path, stored: NDArray[Any], **fields: object) -> Path:
    """Write (x, y, z) voxels with nibabel, with fields of the header set."""
    header = nib.Nifti1Header()
    header.set_data_dtype(stored.dtype)
    image = nib.Nifti1Image(stored, np.eye(4), header)
    image.header.set_xyzt_units("unknown")
    nib.save(image, path)
    return patch(path, **fields) if fields else path


def patch(path: Path, **fields: object) -> Path:
    """Overwrite fields of a header on disk, however absurd."""
    is_gzip = path.suffix == ".gz"
    content = bytearray(gzip.decompress(path.read_bytes()) if is_gzip else path.read_bytes())
    header = np.frombuffer(content, nib.Nifti1Header.template_dtype, 1)
    for name, value in fields.items():
        header[name][0] = value
    path.write_bytes(gzip.compress(content) if is_gzip else bytes(content))
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_what_nibabel_writes_comes_back_voxel_by_voxel(
    tmp_path: Path, dtype: str, name: str
) -> None:
    stored = numbers((6, 5, 4), dtype)
    path = save(tmp_path / name, stored)
    assert nifti.matches(path.read_bytes()[:4096], tmp_path / "rock.png")
    info, planes = read(path)
    assert (info.format, info.n_planes, info.height, info.width) == ("NIfTI-1", 4, 5, 6)
    assert info.is_volume
    assert info.dtype == planes.dtype.name == np.dtype(dtype).name
    np.testing.assert_array_equal(planes, stored.transpose(2, 1, 0))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 6)])
def test_what_simpleitk_writes_comes_back_voxel_by_voxel(
    tmp_path: Path, shape: tuple[int, ...], name: str
) -> None:
    stored = numbers(shape, "u2")
    image: Any = sitk.GetImageFromArray(stored)
    image.SetSpacing((0.00225,) * len(shape))
    sitk.WriteImage(image, tmp_path / name)
    info, planes = read(tmp_path / name)
    assert info.is_volume == (len(shape) == 3)
    assert info.pixel_size_um == 2.25
    np.testing.assert_array_equal(planes, stored.reshape(-1, 5, 6))


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    stored = numbers((6, 5, 4), ">i2")
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    image = nib.Nifti1Image(stored, np.eye(4), header)
    nib.save(image, tmp_path / "rock.nii")
    assert (tmp_path / "rock.nii").read_bytes()[:4] == b"\0\0\x01\x5c"
    info, planes = read(tmp_path / "rock.nii")
    assert info.dtype == planes.dtype.name == "int16"
    assert planes.dtype.isnative
    np.testing.assert_array_equal(planes, stored.transpose(2, 1, 0))


@pytest.mark.parametrize("name", NAMES)
def test_version_two_is_read(tmp_path: Path, name: str) -> None:
    stored = numbers((6, 5, 4), "u2")
    nib.save(nib.Nifti2Image(stored, np.eye(4)), tmp_path / name)
    assert nifti.matches((tmp_path / name).read_bytes()[:4096], tmp_path / name)
    info, planes = read(tmp_path / name)
    assert info.format == "NIfTI-2"
    np.testing.assert_array_equal(planes, stored.transpose(2, 1, 0))


@pytest.mark.parametrize("channels", ["RGB", "RGBA"])
def test_colour_is_read_and_alpha_goes(tmp_path: Path, channels: str) -> None:
    pixels = numbers((6, 5, 4, len(channels)), "u1")
    stored = pixels.view([(letter, "u1") for letter in channels])[..., 0]
    nib.save(nib.Nifti1Image(stored, np.eye(4)), tmp_path / "rock.nii")
    info, planes = read(tmp_path / "rock.nii")
    assert (info.channels, info.dtype, info.n_planes) == (3, "uint8", 4)
    np.testing.assert_array_equal(planes, pixels.transpose(2, 1, 0, 3)[..., :3])


@pytest.mark.parametrize("name", NAMES)
def test_slope_and_intercept_are_honoured(tmp_path: Path, name: str) -> None:
    stored = numbers((6, 5, 4), "i2")
    path = save(tmp_path / name, stored, scl_slope=0.5, scl_inter=-3)
    info, planes = read(path)
    reference = np.asarray(nib.load(path).dataobj)
    assert info.dtype == planes.dtype.name == "float64"
    assert info.notes[-1] == "stored int16 values are scaled: 0.5 x + -3"
    np.testing.assert_array_equal(planes, reference.transpose(2, 1, 0))


@pytest.mark.parametrize("slope", [0.0, np.nan, 1.0])
def test_slopes_that_scale_nothing_leave_the_stored_type(tmp_path: Path, slope: float) -> None:
    stored = numbers((6, 5, 4), "i2")
    info, planes = read(save(tmp_path / "rock.nii", stored, scl_slope=slope, scl_inter=0))
    assert info.dtype == planes.dtype.name == "int16"
    np.testing.assert_array_equal(planes, stored.transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((6, 5), (1, 5, 6, False)),
        ((6, 5, 1), (1, 5, 6, False)),
        ((6, 5, 1, 1, 1), (1, 5, 6, False)),
        ((6, 5, 4, 1), (4, 5, 6, True)),
    ],
)
def test_trailing_axes_of_one_are_dropped(
    tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, int, int, bool]
) -> None:
    stored = numbers(shape, "u1")
    info, planes = read(save(tmp_path / "rock.nii", stored))
    assert (info.n_planes, info.height, info.width, info.is_volume) == expected
    np.testing.assert_array_equal(planes.ravel(), stored.ravel(order="F"))


@pytest.mark.parametrize(
    ("units", "spacing", "expected", "note"),
    [
        (1, 2.25e-6, 2.25, None),
        (2, 0.00225, 2.25, None),
        (2, 1.0, None, "pixdim 1 is what writers put by default"),
        (3, 2.25, 2.25, None),
        (3, 1.0, 1.0, None),
        (3 + 8, 2.25, 2.25, None),
        (0, 2.25, None, "2.25 has no unit"),
        (7, 2.25, None, "2.25 has no unit"),
        (3, 0.0, None, "0 x 0 is no size"),
    ],
)
def test_pixel_size_needs_a_unit(
    tmp_path: Path, units: int, spacing: float, expected: float | None, note: str | None
) -> None:
    pixdim = [1, spacing, spacing, spacing, 0, 0, 0, 0]
    path = save(tmp_path / "rock.nii", numbers((6, 5, 4), "u1"), xyzt_units=units, pixdim=pixdim)
    info, _ = read(path)
    assert info.pixel_size_um == expected
    assert info.notes == (() if note is None else (f"pixel size ignored: {note}",))


def test_a_pair_of_header_and_image_is_refused_with_the_remedy(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(numbers((6, 5, 4), "u1"), np.eye(4)), tmp_path / "rock.img")
    head = (tmp_path / "rock.hdr").read_bytes()
    assert nifti.matches(head[:4096], tmp_path / "rock.hdr")
    told = refusal(tmp_path / "rock.hdr")
    assert told.fault is ScanFault.UNSUPPORTED
    assert "the header of a pair (.hdr and .img); save it as one .nii file" in str(told)


@pytest.mark.parametrize(
    ("shape", "dtype", "fault", "problem"),
    [
        ((6, 5, 4, 2), "u1", ScanFault.UNSUPPORTED, "its shape is (6, 5, 4, 2)"),
        ((6, 5, 1, 1, 3), "u1", ScanFault.UNSUPPORTED, "its shape is (6, 5, 1, 1, 3)"),
        ((7,), "u1", ScanFault.UNSUPPORTED, "its shape is (7,)"),
        ((6, 5, 4), "c8", ScanFault.UNSUPPORTED, "of type complex64"),
        ((6, 1, 4), "u1", ScanFault.TOO_THIN, "4 x 1 x 6 voxels"),
        ((40, 50, 4), "u1", ScanFault.TOO_LARGE, "2,000 pixels, at most 1,000"),
    ],
)
def test_images_that_cannot_be_used(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, fault: ScanFault, problem: str
) -> None:
    told = refusal(save(tmp_path / "rock.nii", numbers(shape, dtype)))
    assert told.fault is fault
    assert problem in str(told)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("fields", "fault", "problem"),
    [
        ({"dim": [3, 6, 0, 4, 1, 1, 1, 1]}, ScanFault.ZERO_SIZE, "4 x 0 x 6 voxels"),
        ({"dim": [3, 6, -5, 4, 1, 1, 1, 1]}, ScanFault.ZERO_SIZE, "4 x -5 x 6 voxels"),
        ({"dim": [3, 6, 5, 5, 1, 1, 1, 1]}, ScanFault.TRUNCATED, "150 bytes of voxels, 120"),
        ({"dim": [3, 6, 5, 3, 1, 1, 1, 1]}, ScanFault.SIZE_MISMATCH, "90 bytes"),
        ({"dim": [0, 6, 5, 4, 1, 1, 1, 1]}, ScanFault.UNSUPPORTED, "its shape is (0,)"),
        ({"datatype": 9999}, ScanFault.UNREADABLE, "its header is damaged: KeyError(9999)"),
        ({"vox_offset": 40}, ScanFault.UNREADABLE, "its voxels start at byte 40, inside it"),
        ({"vox_offset": np.nan}, ScanFault.UNREADABLE, "its header is damaged"),
        ({"vox_offset": np.inf}, ScanFault.UNREADABLE, "its header is damaged"),
        ({"vox_offset": 1e30}, ScanFault.TRUNCATED, "120 bytes"),
        ({"scl_slope": 2, "scl_inter": np.inf}, ScanFault.UNREADABLE, "its header is damaged"),
    ],
)
def test_headers_that_cannot_be_used(
    tmp_path: Path, fields: dict[str, object], fault: ScanFault, problem: str, name: str
) -> None:
    told = refusal(save(tmp_path / name, numbers((6, 5, 4), "u1"), **fields))
    assert told.fault is fault
    assert problem in str(told)


def test_files_that_end_too_early_are_truncated(tmp_path: Path) -> None:
    plain = save(tmp_path / "rock.nii", numbers((6, 5, 4), "u1"))
    zipped = save(tmp_path / "rock.nii.gz", numbers((6, 5, 4), "u1"))
    for path, keep, problem in [
        (plain, 471, "promises 120 bytes of voxels, 119 were found"),
        (plain, 340, "ends within its header"),
        (zipped, -9, "its gzip stream ends before its end mark"),
        (zipped, 40, "its gzip stream ends before its end mark"),
    ]:
        path.write_bytes(path.read_bytes()[:keep])
        told = refusal(path)
        assert told.fault is ScanFault.TRUNCATED
        assert problem in str(told)


def test_a_damaged_stream_is_unreadable(tmp_path: Path) -> None:
    path = save(tmp_path / "rock.nii.gz", numbers((60, 50, 4), "u1"))
    content = bytearray(path.read_bytes())
    content[-6] ^= 255
    path.write_bytes(content)
    told = refusal(path, max_pixels=3000)
    assert told.fault is ScanFault.UNREADABLE
    assert "its gzip stream is damaged (CRC check failed" in str(told)


@pytest.mark.parametrize(
    "head",
    [b"", b"n+1\0", b"\x1f\x8b", b"\x1f\x8bjunk" * 9, gzip.compress(b"text", mtime=0), bytes(4096)],
)
def test_other_content_does_not_match(tmp_path: Path, head: bytes) -> None:
    assert not nifti.matches(head, tmp_path / "rock.nii.gz")
