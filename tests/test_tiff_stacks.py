"""Which pages of a TIFF file make the scan: volumes, series, pyramids, and axes we refuse."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from encoder.errors import ScanError, ScanFault
from encoder.scans import open_scan

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.planes import ScanInfo


def texture(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    return np.random.default_rng(sum(shape)).integers(0, 255, shape).astype(dtype)


def read(path: Path) -> tuple[ScanInfo, NDArray[Any]]:
    with closing(open_scan(path)) as source:
        info = source.info
        planes = np.stack([source.plane(index) for index in range(info.n_planes)])
    assert info.is_volume == (info.n_planes > 1)
    return info, planes


def refused(path: Path) -> ScanError:
    with pytest.raises(ScanError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rock.tif"


OME_OF_TOO_MANY = (
    "<OME><Image><Pixels SizeZ='4000000000' SizeC='1' SizeT='1'>"
    "<TiffData IFD='0' PlaneCount='4000000000'/></Pixels></Image></OME>"
)


@pytest.fixture
def volume() -> NDArray[Any]:
    return texture(12, 20, 30)


WRITERS: dict[str, dict[str, Any]] = {
    "tifffile": {},
    "tifffile, named": {"metadata": {"axes": "ZYX"}},
    "tifffile, one page": {"truncate": True},
    "tifffile, one page, big-endian": {"truncate": True, "byteorder": ">"},
    "plain": {"metadata": None},
    "plain, compressed": {"metadata": None, "compression": "zlib"},
    "plain, tiled": {"metadata": None, "tile": (16, 16), "compression": "lzw"},
    "BigTIFF": {"metadata": None, "bigtiff": True},
    "ImageJ": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "ImageJ, one page": {"imagej": True, "truncate": True, "metadata": {"axes": "ZYX"}},
    "OME": {"ome": True, "metadata": {"axes": "ZYX"}},
    "OME, compressed": {"ome": True, "metadata": {"axes": "ZYX"}, "compression": "zstd"},
}


@pytest.mark.parametrize("options", WRITERS.values(), ids=WRITERS)
def test_volumes_of_every_writer(path: Path, volume: NDArray[Any], options: dict[str, Any]) -> None:
    tifffile.imwrite(path, volume, photometric="minisblack", **options)
    info, planes = read(path)
    np.testing.assert_array_equal(planes, volume)
    assert (info.channels, info.notes) == (1, ())


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("options", [{}, {"ome": True}, {"metadata": None}], ids=str)
def test_colour_volumes(path: Path, planar: str, options: dict[str, Any]) -> None:
    volume = texture(4, 20, 30, 3, dtype="uint8")
    stored = volume if planar == "contig" else np.moveaxis(volume, -1, 1)
    axes = {"axes": "ZYXS" if planar == "contig" else "ZSYX"}
    if options.get("ome"):
        options = {**options, "metadata": axes}
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar, **options)
    info, planes = read(path)
    np.testing.assert_array_equal(planes, volume)
    assert info.channels == 3


def test_an_imagej_volume_of_colour(path: Path) -> None:
    volume = texture(4, 20, 30, 3, dtype="uint8")
    tifffile.imwrite(path, volume, imagej=True, photometric="rgb", metadata={"axes": "ZYXS"})
    np.testing.assert_array_equal(read(path)[1], volume)


def test_slices_written_one_by_one_are_one_volume(path: Path, volume: NDArray[Any]) -> None:
    with tifffile.TiffWriter(path) as writer:
        for plane in volume:
            writer.write(plane, contiguous=False)
    np.testing.assert_array_equal(read(path)[1], volume)


def test_another_writer_s_pages(path: Path) -> None:
    volume = texture(5, 20, 30, dtype="uint8")
    first, *others = (Image.fromarray(plane) for plane in volume)
    first.save(path, save_all=True, append_images=others, compression="packbits")
    np.testing.assert_array_equal(read(path)[1], volume)


def test_pages_may_differ_in_how_they_are_stored(path: Path, volume: NDArray[Any]) -> None:
    layouts: list[dict[str, Any]] = [
        {},
        {"compression": "zlib"},
        {"tile": (16, 16)},
        {"compression": "lzw", "rowsperstrip": 3},
    ]
    with tifffile.TiffWriter(path) as writer:
        for plane, layout in zip(volume, layouts * 3, strict=True):
            writer.write(plane, metadata=None, **layout)
    np.testing.assert_array_equal(read(path)[1], volume)


def test_an_image_of_one_page_is_no_volume(path: Path) -> None:
    image = texture(20, 30)
    tifffile.imwrite(path, image[None, None])
    info, planes = read(path)
    np.testing.assert_array_equal(planes[0], image)
    assert not info.is_volume


def test_the_largest_series_is_read_and_the_others_are_told(
    path: Path, volume: NDArray[Any]
) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(texture(8, 8, dtype="uint8"))
        writer.write(volume)
        writer.write(volume[:5, :9, :9])
    info, planes = read(path)
    np.testing.assert_array_equal(planes, volume)
    (note,) = info.notes
    assert note.startswith("the largest of 3 images is read (12 x 20 x 30 uint16)")
    assert note.endswith("left out: 5 x 9 x 9 uint16, 8 x 8 uint8")


def test_two_series_of_one_size_are_not_joined(path: Path, volume: NDArray[Any]) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(volume)
        writer.write(volume[::-1])
    info, planes = read(path)
    np.testing.assert_array_equal(planes, volume)
    assert len(info.notes) == 1


def test_plain_pages_of_another_size_are_left_out(path: Path, volume: NDArray[Any]) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(texture(9, 9), metadata=None)
        for plane in volume:
            writer.write(plane, metadata=None)
    info, planes = read(path)
    np.testing.assert_array_equal(planes, volume)
    assert info.notes[0].endswith("left out: 9 x 9 uint16")


def test_the_largest_level_of_a_pyramid_in_pages(path: Path) -> None:
    image = texture(64, 96, dtype="uint8")
    with tifffile.TiffWriter(path) as writer:
        writer.write(image, metadata=None, tile=(16, 16))
        writer.write(image[::2, ::2], metadata=None, tile=(16, 16), subfiletype=1)
        writer.write(image[::4, ::4], metadata=None, tile=(16, 16), subfiletype=1)
    info, planes = read(path)
    np.testing.assert_array_equal(planes[0], image)
    assert info.notes == ()


@pytest.mark.parametrize("options", [{}, {"ome": True}], ids=str)
def test_the_largest_level_of_a_pyramid_in_sub_pages(path: Path, options: dict[str, Any]) -> None:
    image = texture(64, 96, 3, dtype="uint8")
    with tifffile.TiffWriter(path, **options) as writer:
        writer.write(image, subifds=1, tile=(16, 16), photometric="rgb")
        writer.write(image[::2, ::2], subfiletype=1, tile=(16, 16), photometric="rgb")
    np.testing.assert_array_equal(read(path)[1][0], image)


def test_ome_planes_in_the_order_that_its_description_tells(
    path: Path, volume: NDArray[Any]
) -> None:
    planes = "".join(
        f'<TiffData FirstZ="{z}" IFD="{page}" PlaneCount="1"/>'
        for page, z in enumerate(reversed(range(12)))
    )
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        f'SizeX="30" SizeY="20" SizeZ="12" SizeC="1" SizeT="1">{planes}</Pixels></Image></OME>'
    )
    tifffile.imwrite(path, volume, description=xml, metadata=None)
    np.testing.assert_array_equal(read(path)[1], volume[::-1])


@pytest.mark.parametrize("options", [{"ome": True}, {"imagej": True}, {}], ids=str)
@pytest.mark.parametrize(
    ("axes", "problem"),
    [("TYX", "a series in time"), ("CYX", "several channels"), ("TZYX", "a series in time")],
)
def test_time_and_channels_are_refused_with_a_remedy(
    path: Path, axes: str, problem: str, options: dict[str, Any]
) -> None:
    data = texture(*((2, 5, 20, 30)[-len(axes) :]))
    tifffile.imwrite(path, data, photometric="minisblack", metadata={"axes": axes}, **options)
    error = refused(path)
    assert error.fault is ScanFault.UNSUPPORTED
    assert problem in error.problem
    assert error.remedy


def test_unnamed_axes_beyond_three_are_refused(path: Path) -> None:
    tifffile.imwrite(path, texture(2, 5, 20, 30), photometric="minisblack")
    error = refused(path)
    assert error.fault is ScanFault.UNSUPPORTED
    assert "more than three axes" in error.problem


def test_planes_in_other_files_are_refused(path: Path, volume: NDArray[Any]) -> None:
    tifffile.imwrite(path, volume, ome=True, metadata={"axes": "ZYX"})
    xml = tifffile.tiffcomment(path)
    assert isinstance(xml, str)
    split = re.sub(
        r"<TiffData[^>]*>.*?</TiffData>|<TiffData[^>]*/>",
        '<TiffData IFD="0" FirstZ="0" PlaneCount="6"><UUID FileName="a.tif">urn:uuid:a</UUID>'
        '</TiffData><TiffData IFD="0" FirstZ="6" PlaneCount="6"><UUID FileName="b.tif">urn:uuid:b'
        "</UUID></TiffData>",
        xml,
        count=1,
    )
    tifffile.imwrite(path, volume, description=split.encode(), metadata=None)
    error = refused(path)
    assert error.fault is ScanFault.UNSUPPORTED
    assert "several OME files" in error.problem


def test_a_renamed_ome_file_is_still_its_own(path: Path, volume: NDArray[Any]) -> None:
    tifffile.imwrite(path, volume, ome=True, metadata={"axes": "ZYX"})
    xml = tifffile.tiffcomment(path)
    assert isinstance(xml, str)
    named = xml.replace(
        '<TiffData IFD="0" PlaneCount="12"/>',
        '<TiffData IFD="0" PlaneCount="12"><UUID FileName="old.tif">urn:uuid:a</UUID></TiffData>',
    )
    assert named != xml
    tifffile.imwrite(path, volume, description=named.encode(), metadata=None)
    np.testing.assert_array_equal(read(path)[1], volume)


def test_a_description_that_makes_no_sense_leaves_the_pages(
    path: Path, volume: NDArray[Any]
) -> None:
    for description in (
        "<OME><Image><Pixels SizeZ='no'/></Image></OME>",
        "<OME",
        "<?xml version='1.0'?><OME><BinaryOnly MetadataFile='x'/></OME>",
        '{"shape": [7, 5, 3]}',
        '{"shape": "no"}',
        "ImageJ=1.53\nimages=many\n",
    ):
        tifffile.imwrite(path, volume, description=description, metadata=None)
        np.testing.assert_array_equal(read(path)[1], volume)


@pytest.mark.parametrize(
    "description",
    [
        "ImageJ=1.53\nimages=4000000000\nslices=4000000000\n",
        '{"shape": [4000000000, 20, 30]}',
        OME_OF_TOO_MANY,
    ],
    ids=["ImageJ", "tifffile", "OME"],
)
def test_promised_planes_that_are_not_there_are_a_fault(
    path: Path, volume: NDArray[Any], description: str
) -> None:
    for pages in (volume, volume[:1]):
        tifffile.imwrite(path, pages, description=description, metadata=None)
        error = refused(path)
        assert error.fault is ScanFault.TRUNCATED
        assert "that its description promises" in error.problem


def test_a_volume_whose_planes_are_not_alike_is_refused(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            texture(20, 30), description="ImageJ=1.53\nimages=2\nslices=2\n", metadata=None
        )
        writer.write(texture(21, 30), metadata=None)
    assert refused(path).fault is ScanFault.TRUNCATED


@pytest.mark.parametrize("shape", [(5, 1, 30), (5, 30, 1)])
def test_a_volume_of_a_voxel_s_breadth_is_too_thin(path: Path, shape: tuple[int, ...]) -> None:
    tifffile.imwrite(path, texture(*shape), metadata=None, photometric="minisblack")
    assert refused(path).fault is ScanFault.TOO_THIN
