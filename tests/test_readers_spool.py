from __future__ import annotations

import bz2
import gzip
import shutil
import subprocess
import sys
import tempfile
import zlib
from contextlib import closing
from typing import IO, TYPE_CHECKING

import numpy as np
import psutil  # type: ignore[import-untyped]  # it has no types here
import pytest
import SimpleITK as sitk  # noqa: N813 - as its manual does

from encoder.errors import ScanError, ScanFault
from encoder.planes import ReadOptions
from encoder.readers.spool import decompressed_head, spool
from encoder.readers.units import pixel_size
from encoder.scans import open_scan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from encoder.readers.spool import Compression

# Several chunks of what deflate and bzip2 halve at least.
TEXT = np.random.default_rng(7).integers(0, 4, 2_500_000, np.uint8).tobytes()
STREAMS: list[tuple[Compression, bytes]] = [
    ("gzip", gzip.compress(TEXT, 1)),
    ("zlib", zlib.compress(TEXT, 1)),
    ("zlib", gzip.compress(TEXT, 1)),
    ("bzip2", bz2.compress(TEXT, 1)),
]
NAMES = ["gzip", "zlib", "zlib with a header of gzip", "bzip2"]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own for temporary files, which must be empty in the end."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def written(tmp_path: Path, content: bytes) -> IO[bytes]:
    path = tmp_path / "compressed"
    path.write_bytes(content)
    return path.open("rb")


def open_descriptors() -> int:
    return int(psutil.Process().num_fds())


@pytest.mark.usefixtures("scratch")
@pytest.mark.parametrize(("compression", "stream"), STREAMS, ids=NAMES)
@pytest.mark.parametrize("skip", [0, 1, 999, 1 << 20, (1 << 20) + 1])
def test_what_was_compressed_comes_back_without_what_is_skipped(
    tmp_path: Path, compression: Compression, stream: bytes, skip: int
) -> None:
    with written(tmp_path, b"header" + stream) as file:
        file.seek(6)
        expected = len(TEXT) - skip
        with spool(file, compression, skip=skip, expected=expected, source="rock") as spooled:
            spooled.seek(0)
            assert spooled.read() == TEXT[skip:]


@pytest.mark.usefixtures("scratch")
@pytest.mark.parametrize(("compression", "stream"), STREAMS, ids=NAMES)
@pytest.mark.parametrize(
    ("expected", "keep", "fault"),
    [
        (len(TEXT) - 1, None, ScanFault.SIZE_MISMATCH),
        (10, None, ScanFault.SIZE_MISMATCH),
        (len(TEXT) + 1, None, ScanFault.TRUNCATED),
        (len(TEXT), -5, ScanFault.TRUNCATED),
        (len(TEXT), 1, ScanFault.TRUNCATED),
    ],
)
def test_streams_that_are_not_what_is_promised_leave_nothing_behind(
    tmp_path: Path,
    compression: Compression,
    stream: bytes,
    expected: int,
    keep: int | None,
    fault: ScanFault,
) -> None:
    with written(tmp_path, stream[:keep]) as file:
        before = open_descriptors()
        with pytest.raises(ScanError) as told:
            spool(file, compression, expected=expected, source="rock")
        assert told.value.fault is fault
        assert open_descriptors() == before


@pytest.mark.usefixtures("scratch")
def test_a_bomb_is_stopped_at_the_promise(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(1 << 20)) * 4000  # of 4 GiB
    with written(tmp_path, bomb) as file:
        with pytest.raises(ScanError, match="more than the 1,000 bytes that its header promises"):
            spool(file, "gzip", expected=1000, source="rock")
        assert file.tell() < len(bomb) / 8


@pytest.mark.usefixtures("scratch")
def test_a_promise_that_deflate_cannot_hold_is_refused_at_once(tmp_path: Path) -> None:
    with (
        written(tmp_path, gzip.compress(b"rock")) as file,
        pytest.raises(ScanError, match="which 24 compressed bytes can't hold") as told,
    ):
        spool(file, "gzip", expected=10**12, source="rock")
    assert told.value.fault is ScanFault.TRUNCATED


@pytest.mark.usefixtures("scratch")
def test_a_promise_beyond_the_free_disk_is_refused_before_writing(tmp_path: Path) -> None:
    with (
        written(tmp_path, bz2.compress(b"rock")) as file,
        pytest.raises(ScanError, match="it needs 1,000,000,000,000,000,000 bytes in") as told,
    ):
        spool(file, "bzip2", expected=10**18, source="rock", max_bytes=1 << 60)
    assert told.value.fault is ScanFault.UNREADABLE
    assert "set TMPDIR to a larger disk" in told.value.remedy


@pytest.mark.usefixtures("scratch")
def test_a_disk_is_not_filled_to_the_brim(tmp_path: Path) -> None:
    disk = shutil.disk_usage(tempfile.gettempdir())
    nearly_all = disk.free - min(1 << 30, disk.total // 20) // 2
    with (
        written(tmp_path, bz2.compress(b"rock")) as file,
        pytest.raises(ScanError, match="are free beside what is kept free"),
    ):
        spool(file, "bzip2", expected=nearly_all, source="rock", max_bytes=1 << 60)


@pytest.mark.usefixtures("scratch")
@pytest.mark.parametrize(("compression", "stream"), STREAMS, ids=NAMES)
def test_more_than_the_limit_is_refused_before_writing(
    tmp_path: Path, compression: Compression, stream: bytes
) -> None:
    with written(tmp_path, stream) as file:
        limit = len(TEXT) - 1
        with pytest.raises(ScanError, match=f"to {len(TEXT):,} bytes, at most {limit:,}") as told:
            spool(file, compression, expected=len(TEXT), source="rock", max_bytes=limit)
        assert file.tell() == 0
    assert told.value.fault is ScanFault.TOO_LARGE
    assert "max_spool_bytes" in told.value.remedy


def test_every_format_that_is_spooled_keeps_the_limit(tmp_path: Path) -> None:
    volume = np.random.default_rng(5).integers(0, 9, (4, 5, 6), np.uint8)
    image = sitk.GetImageFromArray(volume)
    for name in ("rock.mha", "rock.nrrd", "rock.nii.gz"):
        path = tmp_path / name
        sitk.WriteImage(image, str(path), useCompression=True)
        with closing(open_scan(path, ReadOptions(max_spool_bytes=volume.nbytes))) as scan:
            assert scan.info.n_planes == 4
        with pytest.raises(ScanError, match="at most 119 are spooled"):
            open_scan(path, ReadOptions(max_spool_bytes=volume.nbytes - 1))


@pytest.mark.parametrize(("compression", "stream"), STREAMS, ids=NAMES)
def test_the_head_is_read_without_the_rest(
    tmp_path: Path, compression: Compression, stream: bytes
) -> None:
    with written(tmp_path, stream[:-20]) as file:
        assert decompressed_head(file, compression, size=700, source="rock") == TEXT[:700]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("um", 2.5),
        (" Microns ", 2.5),
        ("\N{MICRO SIGN}m", 2.5),
        ("micrometres", 2.5),
        ("nm", 0.0025),
        ("mm", 2500.0),
        ("millimeters", 2500.0),
        ("m", None),  # no pixel is that large
        ("furlong", None),
        ("s", None),
        ("", None),
        (None, None),
    ],
)
def test_units_are_known_by_sign_and_name(unit: str | None, expected: float | None) -> None:
    size = pixel_size(2.5, 2.5, unit=unit)
    assert size.um == expected
    assert bool(size.notes) == (expected is None)


def test_pixel_sizes_lose_the_dust_of_32_bit_floats() -> None:
    assert pixel_size(0.002250000019557774, 0.00225, unit="mm").um == 2.25


def test_importing_the_readers_imports_no_heavy_library() -> None:
    readers = ("numpy_file", "nrrd", "metaimage", "nifti", "hdf5", "raw")
    heavy = ("SimpleITK", "nibabel", "h5py", "nrrd", "torch")
    code = "import sys\n" + "".join(f"import encoder.readers.{name}\n" for name in readers)
    code += f"print(*[name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == []
