from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import h5py  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest

from encoder.errors import ScanError, ScanFault
from encoder.planes import ReadOptions, ScanInfo
from encoder.readers import hdf5

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

VOXELS = np.random.default_rng(7).integers(0, 100, (4, 5, 6)).astype("u2")


def read(path: Path, dataset: str | None = None) -> tuple[ScanInfo, NDArray[Any]]:
    with closing(hdf5.open_planes(path, ReadOptions(dataset=dataset))) as source:
        return source.info, np.stack([source.plane(i) for i in range(source.info.n_planes)])


def refusal(path: Path, dataset: str | None = None, max_pixels: int = 1000) -> ScanError:
    with pytest.raises(ScanError) as told:
        hdf5.open_planes(path, ReadOptions(dataset=dataset, max_pixels=max_pixels))
    assert told.value.source == path.name
    return told.value


def write(path: Path, **datasets: Any) -> Path:  # noqa: ANN401 - whatever h5py takes
    with h5py.File(path, "w") as file:
        for name, content in datasets.items():
            file[name.replace("__", "/")] = content
    return path


@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"chunks": (1, 5, 6)},
        {"chunks": (3, 2, 4), "compression": "gzip", "shuffle": True},
        {"chunks": True, "compression": "lzf", "fletcher32": True},
    ],
)
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">u2", ">f4", "f8", "?"])
def test_what_h5py_writes_comes_back_voxel_by_voxel(
    tmp_path: Path, dtype: str, storage: dict[str, Any]
) -> None:
    stored = VOXELS.astype(dtype)
    with h5py.File(tmp_path / "rock.h5", "w") as file:
        file.create_dataset("entry/data", data=stored, **storage)
        file["angles"] = np.arange(9.0)
        file["title"] = "Berea"
    assert hdf5.matches((tmp_path / "rock.h5").read_bytes()[:4096], tmp_path / "rock.png")
    info, planes = read(tmp_path / "rock.h5")
    assert (info.format, info.n_planes, info.height, info.width) == ("HDF5", 4, 5, 6)
    assert info.is_volume
    assert info.notes == ("dataset /entry/data",)
    assert info.dtype == planes.dtype.name
    assert planes.dtype == ("u1" if dtype == "?" else np.dtype(dtype).newbyteorder("="))
    np.testing.assert_array_equal(planes, stored)


def test_a_user_block_before_the_signature_is_skipped(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "rock.mat", "w", userblock_size=512) as file:
        file["rock"] = VOXELS
    assert hdf5.matches((tmp_path / "rock.mat").read_bytes()[:4096], tmp_path / "rock.mat")
    np.testing.assert_array_equal(read(tmp_path / "rock.mat")[1], VOXELS)


def test_colour_images_and_volumes(tmp_path: Path) -> None:
    image, volume = np.arange(60, dtype="u1").reshape(5, 4, 3), VOXELS.reshape(5, 3, 2, 4)
    info, planes = read(write(tmp_path / "image.h5", thin=image))
    assert (info.channels, info.is_volume) == (3, False)
    np.testing.assert_array_equal(planes[0], image)
    info, planes = read(write(tmp_path / "volume.h5", rock=volume))
    assert (info.channels, info.is_volume, info.n_planes) == (3, True, 5)
    np.testing.assert_array_equal(planes, volume[..., :3])


def test_an_image_is_taken_where_there_is_no_volume(tmp_path: Path) -> None:
    info, planes = read(write(tmp_path / "rock.h5", thin=VOXELS[0], angles=np.arange(5)))
    assert (info.n_planes, info.is_volume) == (1, False)
    np.testing.assert_array_equal(planes[0], VOXELS[0])


def test_the_only_volume_goes_before_images(tmp_path: Path) -> None:
    path = write(tmp_path / "rock.h5", mask=VOXELS[0], a__b__rock=VOXELS, preview=VOXELS[1])
    np.testing.assert_array_equal(read(path)[1], VOXELS)


@pytest.mark.parametrize(
    "name", ["dark", "/dark", "raw/deep", "soft", "raw/relative", "./raw/deep"]
)
def test_a_named_dataset_is_read_through_links_within_the_file(tmp_path: Path, name: str) -> None:
    path = write(
        tmp_path / "rock.h5",
        other=VOXELS + 1,
        dark=VOXELS,
        raw__deep=VOXELS,
        soft=h5py.SoftLink("/raw/relative"),
        raw__relative=h5py.SoftLink("deep"),
    )
    np.testing.assert_array_equal(read(path, name)[1], VOXELS)


def test_several_candidates_are_all_named(tmp_path: Path) -> None:
    told = refusal(write(tmp_path / "rock.h5", dark=VOXELS, raw__deep=VOXELS, thin=VOXELS[0]))
    assert told.fault is ScanFault.AMBIGUOUS
    assert "2 datasets of 3 axes: dark, raw/deep; name the one to read (--dataset)" in str(told)
    assert told.datasets == ("dark", "raw/deep")
    told = refusal(write(tmp_path / "thin.h5", a=VOXELS[0], b=VOXELS[1]))
    assert told.fault is ScanFault.AMBIGUOUS
    assert "2 datasets of 2 axes: a, b" in str(told)


def test_files_without_a_scan_say_what_they_hold(tmp_path: Path) -> None:
    told = refusal(write(tmp_path / "rock.h5", angles=np.arange(9), title="Berea"))
    assert told.fault is ScanFault.NOT_AN_IMAGE
    assert "no dataset of 2 or 3 axes of numbers, but angles (9,), title ()" in str(told)
    waves = write(tmp_path / "waves.h5", rock=VOXELS.astype("c8"), list=np.zeros(3, "u1,f4"))
    told = refusal(waves)
    assert "list (3,) of records, rock (4, 5, 6) of complex numbers (complex64)" in told.problem
    link = h5py.ExternalLink("secret.h5", "/rock")
    told = refusal(write(tmp_path / "link.h5", entry__link=link))
    assert told.fault is ScanFault.NOT_AN_IMAGE
    assert "but a link entry/link to '/rock' in the file 'secret.h5'" in told.problem
    told = refusal(write(tmp_path / "empty.h5"))
    assert told.fault is ScanFault.NOT_AN_IMAGE
    assert "but nothing" in str(told)


@pytest.mark.parametrize("name", ["other", "rock/below", "folder", "/", "dangling"])
def test_a_dataset_that_is_not_there_is_told_with_those_that_are(tmp_path: Path, name: str) -> None:
    dangling = h5py.SoftLink("/nowhere")
    path = write(tmp_path / "rock.h5", rock=VOXELS, folder__x=1, dangling=dangling)
    told = refusal(path, name)
    assert told.fault is ScanFault.NOT_AN_IMAGE
    assert f"it has no dataset '{name}', but folder/x (), rock (4, 5, 6); name one" in str(told)


@pytest.mark.parametrize("name", ["link", "group/rock", "soft"])
def test_external_links_are_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "secret.h5", rock=VOXELS)
    path = write(
        tmp_path / "rock.h5",
        link=h5py.ExternalLink("secret.h5", "/rock"),
        group=h5py.ExternalLink("secret.h5", "/"),
        soft=h5py.SoftLink("/group/rock"),
    )
    told = refusal(path, name)
    assert told.fault is ScanFault.UNSUPPORTED
    assert f"its dataset '{name}' is behind a link that leaves the file" in str(told)
    assert refusal(path).fault is ScanFault.NOT_AN_IMAGE


def test_links_that_go_round_in_circles_are_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "rock.h5", rock=VOXELS, a=h5py.SoftLink("/b"), b=h5py.SoftLink("/a/deeper")
    )
    assert refusal(path, "a").fault is ScanFault.UNSUPPORTED


@pytest.mark.parametrize("dataset", [None, "rock"])
def test_external_storage_is_refused(tmp_path: Path, dataset: str | None) -> None:
    (tmp_path / "secret.raw").write_bytes(VOXELS.tobytes())
    with h5py.File(tmp_path / "rock.h5", "w") as file:
        outside = [(str(tmp_path / "secret.raw"), 0, VOXELS.nbytes)]
        file.create_dataset("rock", VOXELS.shape, "u2", external=outside)
    told = refusal(tmp_path / "rock.h5", dataset)
    assert told.fault is ScanFault.UNSUPPORTED
    assert "the samples of its dataset /rock are in other files" in str(told)


@pytest.mark.parametrize("dataset", [None, "rock"])
def test_virtual_datasets_are_refused(tmp_path: Path, dataset: str | None) -> None:
    write(tmp_path / "secret.h5", rock=VOXELS)
    layout = h5py.VirtualLayout(VOXELS.shape, "u2")
    layout[...] = h5py.VirtualSource(tmp_path / "secret.h5", "rock", VOXELS.shape)
    with h5py.File(tmp_path / "rock.h5", "w") as file:
        file.create_virtual_dataset("rock", layout)
    told = refusal(tmp_path / "rock.h5", dataset)
    assert told.fault is ScanFault.UNSUPPORTED
    assert "the samples of its dataset /rock are in other files" in str(told)


def test_a_dataset_that_was_never_written_is_empty(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "rock.h5", "w") as file:
        file.create_dataset("rock", (4, 5, 6), "u2", chunks=(1, 5, 6))
    told = refusal(tmp_path / "rock.h5")
    assert told.fault is ScanFault.EMPTY
    assert "nothing was ever written to its dataset /rock" in str(told)


def test_chunks_too_large_to_be_read_plane_by_plane_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "rock.h5", "w") as file:
        rock = file.create_dataset("rock", (600, 600, 600), "u1", chunks=(600, 600, 600))
        rock.id.write_direct_chunk((0, 0, 0), b"few bytes")
    told = refusal(tmp_path / "rock.h5", max_pixels=10**6)
    assert told.fault is ScanFault.UNSUPPORTED
    assert "chunks of 216,000,000 bytes, at most 134,217,728" in str(told)


def test_a_damaged_chunk_is_told_when_its_plane_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "rock.h5", "w") as file:
        rock = file.create_dataset("rock", (4, 5, 6), "u2", chunks=(1, 5, 6), compression="gzip")
        rock[...] = VOXELS
        rock.id.write_direct_chunk((2, 0, 0), b"no deflate stream")
    with closing(hdf5.open_planes(tmp_path / "rock.h5", ReadOptions())) as source:
        np.testing.assert_array_equal(source.plane(1), VOXELS[1])
        with pytest.raises(ScanError, match="its HDF5 structure is damaged") as told:
            source.plane(2)
    assert told.value.fault is ScanFault.UNREADABLE


def test_an_unknown_filter_is_unsupported(tmp_path: Path) -> None:
    path = tmp_path / "rock.h5"
    with h5py.File(path, "w") as file:
        zeros = np.zeros((2, 20, 30), "u1")
        file.create_dataset("rock", data=zeros, chunks=(1, 20, 30), compression="lzf")
    lzf, unknown = b"\x00\x7d", b"\xff\x7d"  # 32000 and a number that no filter has
    path.write_bytes(path.read_bytes().replace(lzf, unknown))
    told = refusal(path)
    assert told.fault is ScanFault.UNSUPPORTED
    assert "is compressed by filter 32255 (lzf), which is not known here" in str(told)


@pytest.mark.parametrize(
    ("content", "fault", "problem"),
    [
        (np.zeros((0, 5, 6), "u2"), ScanFault.ZERO_SIZE, "0 x 5 x 6 voxels"),
        (np.zeros((1, 5, 6), "u2"), ScanFault.TOO_THIN, "1 x 5 x 6 voxels"),
        (np.zeros((2, 40, 50), "u2"), ScanFault.TOO_LARGE, "2,000 pixels, at most 1,000"),
        (np.zeros((4, 5, 6), "c8"), ScanFault.UNSUPPORTED, "of type complex64"),
        (np.zeros((2, 4, 5, 6), "u2"), ScanFault.UNSUPPORTED, "has shape (2, 4, 5, 6)"),
        (h5py.Empty("u2"), ScanFault.UNSUPPORTED, "has shape ()"),
        ("Berea", ScanFault.UNSUPPORTED, "has shape ()"),
    ],
)
def test_named_datasets_that_cannot_be_used(
    tmp_path: Path, content: object, fault: ScanFault, problem: str
) -> None:
    told = refusal(write(tmp_path / "rock.h5", rock=content), "rock")
    assert told.fault is fault
    assert problem in str(told)


def test_a_truncated_file_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "rock.h5", rock=VOXELS)
    path.write_bytes(path.read_bytes()[:-100])
    told = refusal(path)
    assert told.fault is ScanFault.TRUNCATED
    assert "it ends too early" in str(told)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "rock.h5", rock=VOXELS)
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes(400) + content[500:])
    told = refusal(path)
    assert told.fault is ScanFault.UNREADABLE
    assert "its HDF5 structure is damaged" in str(told)


@pytest.mark.parametrize(
    ("sizes", "expected", "notes"),
    [
        ([4.0, 2.25, 2.25], 2.25, ()),
        ([4.0, 2.0, 3.0], 3.0, ("pixels are not square: 3 x 2 um, width taken",)),
        ([4.0], None, ()),
    ],
)
def test_the_size_of_elements_is_read_from_the_attribute(
    tmp_path: Path, sizes: list[float], expected: float | None, notes: tuple[str, ...]
) -> None:
    with h5py.File(tmp_path / "rock.h5", "w") as file:
        file["rock"] = VOXELS
        file["rock"].attrs["element_size_um"] = sizes
    info, _ = read(tmp_path / "rock.h5")
    assert info.pixel_size_um == expected
    assert info.notes == ("dataset /rock", *notes)


def test_other_content_does_not_match(tmp_path: Path) -> None:
    assert not hdf5.matches(b"", tmp_path / "rock.h5")
    assert not hdf5.matches(bytes(4096), tmp_path / "rock.h5")
