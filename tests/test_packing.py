"""Pairs become one object whose voxels read the same; a lone half is refused."""

from __future__ import annotations

import gzip
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its manual does

from encoder.errors import ScanError
from encoder.metadata.user import TECHNICAL_KEYS
from encoder.planes import RawLayout, ReadOptions
from encoder.scans import open_scan
from infra.packing import Packed, pack
from infra.store_keys import check_metadata

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

VOXELS = np.random.default_rng(3).integers(0, 60_000, (4, 5, 6)).astype("<u2")


def planes(path: Path) -> NDArray[Any]:
    with closing(open_scan(path)) as source:
        return np.stack([source.plane(index) for index in range(source.info.n_planes)])


def stored(packed: Packed, folder: Path) -> Path:
    """Put the object's content alone into a folder, under its name."""
    folder.mkdir(parents=True)
    with packed.file(folder / "cache") as file:
        (folder / packed.name).write_bytes(file.read_bytes())
    assert list((folder / "cache").glob("*")) == []
    return folder / packed.name


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_metaimage_pair_as_simpleitk_writes_it_becomes_one_file(
    tmp_path: Path, is_compressed: bool
) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), tmp_path / "rock.mhd", is_compressed)
    packed = pack(tmp_path / "rock.mhd", ReadOptions())
    assert packed.name == "rock.mha"
    whole = stored(packed, tmp_path / "there")
    np.testing.assert_array_equal(planes(whole), VOXELS)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(whole)), VOXELS)


@pytest.mark.parametrize(("size", "lead"), [("7", b"skipped"), ("-1", b"anything"), ("0", b"")])
def test_bytes_before_the_voxels_of_a_metaimage_stay_out(
    tmp_path: Path, size: str, lead: bytes
) -> None:
    header = (
        "ObjectType = Image\nNDims = 3\nDimSize = 6 5 4\nBinaryData = True\n"
        f"HeaderSize = {size}\nElementType = MET_USHORT\nElementDataFile = rock.raw"
    )
    (tmp_path / "rock.MHD").write_text(header)
    (tmp_path / "rock.raw").write_bytes(lead + VOXELS.tobytes())
    packed = pack(tmp_path / "rock.MHD", ReadOptions())
    assert packed.name == "rock.mha"
    np.testing.assert_array_equal(planes(stored(packed, tmp_path / "there")), VOXELS)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ("encoding: raw", VOXELS.tobytes()),
        ("encoding: gzip", gzip.compress(VOXELS.tobytes(), mtime=0)),
        ("encoding: raw\nline skip: 2", b"two\nlines\n" + VOXELS.tobytes()),
        ("encoding: raw\nbyte skip: 5", b"five." + VOXELS.tobytes()),
        ("encoding: raw\nbyte skip: -1", b"anything" + VOXELS.tobytes()),
        ("encoding: gzip\nbyte skip: 5", gzip.compress(b"five." + VOXELS.tobytes(), mtime=0)),
    ],
)
def test_an_nrrd_pair_becomes_one_file(
    tmp_path: Path, fields: str, content: bytes, ending: str
) -> None:
    text = (
        "NRRD0004\n# by hand\ntype: uint16\ndimension: 3\nsizes: 6 5 4\nendian: little\n"
        f"{fields}\ndata file: rock.raw\nnote:=data file: kept\n"
    )
    (tmp_path / "rock.nhdr").write_bytes(text.replace("\n", ending).encode())
    (tmp_path / "rock.raw").write_bytes(content)
    packed = pack(tmp_path / "rock.nhdr", ReadOptions())
    assert packed.name == "rock.nrrd"
    whole = stored(packed, tmp_path / "there")
    np.testing.assert_array_equal(planes(whole), VOXELS)
    assert b"note:=data file: kept" in whole.read_bytes()


def test_packing_the_same_pair_again_gives_the_same_bytes(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), tmp_path / "rock.mhd")
    one, other = (pack(tmp_path / "rock.mhd", ReadOptions()) for _ in range(2))
    assert one.sha256() == other.sha256()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rock.mhd", "NDims = 3\nDimSize = 6 5 4\nElementType = MET_USHORT\nElementDataFile = {}"),
        (
            "rock.nhdr",
            (
                "NRRD0004\ntype: ushort\ndimension: 3\nsizes: 6 5 4\nendian: little\n"
                "encoding: raw\ndata file: {}\n"
            ),
        ),
    ],
)
@pytest.mark.parametrize("data", ["missing.raw", "../secret.raw"])
def test_a_header_without_its_voxels_beside_it_is_refused(
    tmp_path: Path, name: str, text: str, data: str
) -> None:
    (tmp_path / "secret.raw").write_bytes(VOXELS.tobytes())
    header = tmp_path / "lib" / name
    header.parent.mkdir()
    header.write_text(text.format(data))
    with pytest.raises(ScanError, match="folder"):
        pack(header, ReadOptions())


def test_a_whole_file_is_stored_as_it_is(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), tmp_path / "rock.mha")
    packed = pack(tmp_path / "rock.mha", ReadOptions())
    assert (packed.name, packed.joined, packed.user_metadata) == ("rock.mha", None, {})


def test_the_layout_of_a_headerless_volume_goes_along(tmp_path: Path) -> None:
    path = tmp_path / "rock.raw"
    path.write_bytes(b"header" + VOXELS.astype(">u2").tobytes())
    told = {"shape": [4, 5, 6], "dtype": "uint16", "byte_order": "big", "header_bytes": 6}
    (tmp_path / "rock.raw.json").write_text(json.dumps({**told, "pixel_size_um": 2.25}))
    metadata = pack(path, ReadOptions()).user_metadata
    assert metadata == {
        "shape": "4,5,6",
        "dtype": ">u2",
        "header-bytes": "6",
        "pixel-size-um": "2.25",
    }
    assert check_metadata(metadata) == metadata
    assert {name.replace("-", "_") for name in metadata} - {"pixel_size_um"} == TECHNICAL_KEYS


def test_what_the_user_tells_of_a_layout_goes_before_the_name(tmp_path: Path) -> None:
    path = tmp_path / "rock_4x5x6_uint16.raw"
    path.write_bytes(VOXELS.tobytes())
    assert pack(path, ReadOptions()).user_metadata["shape"] == "4,5,6"
    layout = RawLayout(shape=(6, 5, 4), dtype="<u2")
    assert pack(path, ReadOptions(raw=layout)).user_metadata["shape"] == "6,5,4"


def test_a_headerless_volume_without_a_layout_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "rock.raw").write_bytes(VOXELS.tobytes())
    with pytest.raises(ScanError, match="--raw"):
        pack(tmp_path / "rock.raw", ReadOptions())


def test_a_picture_that_is_called_raw_needs_no_layout(tmp_path: Path) -> None:
    (tmp_path / "rock.raw").write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    assert pack(tmp_path / "rock.raw", ReadOptions()).user_metadata == {}
