"""Uploaded query files: kept, found again by their token alone, refused in one line."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from encoder.errors import LithoscopeError
from encoder.planes import ReadOptions
from encoder.readers.raw_layout import layout_from_parts
from infra.folder_store import FolderStore
from infra.settings import Settings
from infra.site import Site
from infra.ui_settings import UiSettings
from search_ui.kept_queries import QUERIES_PREFIX, KeptQueries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.object_store import ObjectEntry

RNG = np.random.default_rng(4)


class Now:
    """A time that is set by hand."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def png(side: int = 20) -> io.BytesIO:
    content = io.BytesIO()
    Image.fromarray(RNG.integers(0, 255, (side, side), dtype=np.uint8)).save(content, "PNG")
    content.seek(0)
    return content


def site_of(home: Path, **ui: Any) -> Site:  # noqa: ANN401  settings
    (home / "bucket").mkdir(parents=True, exist_ok=True)
    return Site(Settings(home=home, ui=UiSettings(**ui)), FolderStore(home / "bucket"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_of(tmp_path, upload_mib=1) as site:
        yield site


@pytest.fixture
def kept(site: Site) -> Iterator[KeptQueries]:
    kept = KeptQueries(site)
    yield kept
    kept.close()


def entries(site: Site) -> list[ObjectEntry]:
    return [entry for page in site.objects.pages(QUERIES_PREFIX) for entry in page]


def test_a_file_is_found_again_by_its_token_in_another_process(
    site: Site, kept: KeptQueries
) -> None:
    content = png()
    token = kept.keep("Größe 1/thin section.png", content)
    assert len(token) == 32
    elsewhere = KeptQueries(site)
    for one in (kept, elsewhere):
        with one.open(token) as file:
            assert file.path.read_bytes() == content.getvalue()
            assert file.name == "thin section.png"
            assert file.read is None
    path = file.path
    elsewhere.close()
    assert not path.exists()
    assert kept.has(token)


def test_tokens_are_never_the_same_and_others_are_not_taken(kept: KeptQueries) -> None:
    content = png()
    tokens = {kept.keep("a.png", io.BytesIO(content.getvalue())) for _ in range(20)}
    assert len(tokens) == 20
    for wrong in ("", "../scans", "*", "0" * 31, "0" * 32, next(iter(tokens)).upper() + "x"):
        assert not kept.has(wrong)
        with pytest.raises(LithoscopeError, match="upload"), kept.open(wrong):
            pass


@pytest.mark.parametrize("days", [0, 7])
def test_a_dataset_of_a_kept_file_is_kept_beside_it(tmp_path: Path, days: int) -> None:
    with site_of(tmp_path, keep_queries_days=days) as site:
        kept = KeptQueries(site)
        content = png()
        token = kept.keep("a.png", content)
        dataset = kept.keep_dataset(token, "raw/größe 1")
        assert dataset != token
        with kept.open(dataset) as file:
            assert (file.name, file.path.read_bytes()) == ("a.png", content.getvalue())
            assert file.read == ReadOptions(dataset="raw/größe 1")
        with kept.open(token) as file:
            assert file.read is None
        kept.close()


def test_files_lapse_and_are_removed_when_others_come(site: Site) -> None:
    now = Now()
    kept = KeptQueries(site, now=now)
    token = kept.keep("a.png", png())
    now.ahead = timedelta(days=29)
    kept.prune()
    assert kept.has(token)
    now.ahead = timedelta(days=31)
    with pytest.raises(LithoscopeError, match=r"lapsed.*30 days"), kept.open(token):
        pass
    former = entries(site)
    kept.prune()
    assert former
    assert entries(site) == []
    with pytest.raises(LithoscopeError, match="not there any more"), kept.open(token):
        pass
    kept.close()


def test_the_oldest_make_room_for_new_ones(tmp_path: Path) -> None:
    content = png(60).getvalue()
    room_gib = 3.5 * len(content) / (1 << 30)
    with site_of(tmp_path, keep_queries_gib=room_gib) as site:
        kept = KeptQueries(site, now=lambda: datetime.fromtimestamp(1e9 + 60, UTC))
        tokens = []
        for number in range(5):
            tokens.append(kept.keep("a.png", io.BytesIO(content)))
            for path in site.settings.bucket_folder.rglob("a.png"):
                if tokens[-1] in str(path):
                    os.utime(path, (1e9 + number, 1e9 + number))
        kept.close()
        elsewhere = KeptQueries(site, now=lambda: datetime.fromtimestamp(1e9 + 60, UTC))
        assert [elsewhere.has(token) for token in tokens] == [False, False, True, True, True]
        told = "the oldest make room for others"
        with pytest.raises(LithoscopeError, match=told), elsewhere.open(tokens[0]):
            pass
        elsewhere.close()


def test_none_is_stored_where_none_is_to_be_kept(tmp_path: Path) -> None:
    with site_of(tmp_path, keep_queries_days=0) as site:
        kept, other = KeptQueries(site), KeptQueries(site)
        token = kept.keep("a.png", png())
        assert entries(site) == []
        with kept.open(token) as file:
            assert file.path.exists()
        assert not other.has(token)
        kept.close()
        other.close()


def test_what_is_stored_nowhere_makes_room_too(tmp_path: Path) -> None:
    content = png().getvalue()
    gib = 2.5 * len(content) / (1 << 30)
    with site_of(tmp_path, keep_queries_days=0, keep_queries_gib=gib) as site:
        kept = KeptQueries(site)
        tokens = [kept.keep("a.png", io.BytesIO(content)) for _ in range(4)]
        assert [kept.has(token) for token in tokens] == [False, False, True, True]
        told = "made room for others.*upload it again"
        with pytest.raises(LithoscopeError, match=told), kept.open(tokens[0]):
            pass
        with kept.open(tokens[3]) as file:
            assert file.path.read_bytes() == content
        kept.close()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.png", b"", "empty"),
        ("a.png", b"%PDF-1.7 and more", "PDF document"),
        ("notes.txt", b"some words", "text file"),
        ("a.zip", b"PK\x03\x04....", "ZIP archive"),
        ("big.png", b"\x89PNG\r\n\x1a\n" + bytes(2 << 20), "larger than 1 MiB.*UPLOAD_MIB"),
        ("lone.raw", bytes(range(256)) * 8, "shape"),
        ("lone.mhd", b"ObjectType = Image\nElementDataFile = lone.raw\n", "lone"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(
    site: Site, kept: KeptQueries, name: str, content: bytes, told: str, tmp_path: Path
) -> None:
    with pytest.raises(LithoscopeError, match=told) as caught:
        kept.keep(name, io.BytesIO(content))
    text = str(caught.value)
    assert "\n" not in text
    assert str(tmp_path) not in text
    assert "/tmp" not in text  # noqa: S108  what must not be told
    assert entries(site) == []


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "..", ".hidden.png", "a\0b\n\u202e.png", "\\\\host\\x.png", "é" * 500, ""],
)
def test_hostile_names_name_files_of_their_folder_only(
    site: Site, kept: KeptQueries, name: str
) -> None:
    token = kept.keep(name, png())
    with kept.open(token) as file:
        assert file.path.parent.parent == file.path.parent.parent.resolve()
        assert "/" not in file.name
        assert file.name.isprintable()
    (entry,) = entries(site)
    assert entry.key.startswith(f"{QUERIES_PREFIX}{token}/")


def metaimage(planes: int, side: int) -> tuple[bytes, bytes]:
    header = (
        f"ObjectType = Image\nNDims = 3\nDimSize = {side} {side} {planes}\n"
        "ElementType = MET_UCHAR\nElementSpacing = 1 1 1\nElementDataFile = v.raw\n"
    )
    return header.encode(), RNG.integers(0, 255, planes * side * side, dtype=np.uint8).tobytes()


def test_a_header_and_its_voxels_are_packed(kept: KeptQueries) -> None:
    header, voxels = metaimage(3, 16)
    files = {"v.raw": io.BytesIO(voxels), "v.mhd": io.BytesIO(header), "a.png": png()}
    tokens = kept.keep_all(files)
    assert sorted(tokens) == ["a.png", "v.mhd"]
    with kept.open(tokens["v.mhd"]) as file:
        assert file.name == "v.mha"
        assert file.path.read_bytes().endswith(voxels)


def test_a_layout_goes_with_a_headerless_volume(site: Site, kept: KeptQueries) -> None:
    voxels = RNG.integers(0, 255, (4, 16, 20), dtype=np.uint8)
    token = kept.keep("v_4x16x20_uint8.raw", io.BytesIO(voxels.tobytes()))
    elsewhere = KeptQueries(site)
    with elsewhere.open(token) as file:
        assert file.read is not None
        assert file.read.raw is not None
        assert file.read.raw.shape == (4, 16, 20)
    elsewhere.close()


def test_a_told_layout_is_checked_and_kept_with_its_pixel_size(
    site: Site, kept: KeptQueries
) -> None:
    voxels = RNG.integers(0, 255, (4, 16, 20), dtype=np.uint8).tobytes()
    read = ReadOptions(raw=layout_from_parts((4, 17, 20), "uint8"))
    with pytest.raises(LithoscopeError, match=r"expected 1,360 bytes .*found 1,280"):
        kept.keep("v.raw", io.BytesIO(voxels), read=read)
    assert not entries(site)
    layout = layout_from_parts((4, 16, 20), "uint8", pixel_size_um=2.5)
    token = kept.keep("v.raw", io.BytesIO(voxels), read=ReadOptions(raw=layout))
    elsewhere = KeptQueries(site)
    for one in (kept, elsewhere):
        with one.open(token) as file:
            assert file.read == ReadOptions(raw=layout)
    elsewhere.close()


def test_a_dataset_goes_with_its_file(kept: KeptQueries) -> None:
    token = kept.keep("a.png", png(), read=ReadOptions(dataset="/ct/däta x"))
    with kept.open(token) as file:
        assert file.read == ReadOptions(dataset="/ct/däta x")


def test_one_bad_file_among_several_keeps_none(site: Site, kept: KeptQueries) -> None:
    with pytest.raises(LithoscopeError, match=r"b\.png"):
        kept.keep_all({"a.png": png(), "b.png": io.BytesIO(b"")})
    assert entries(site) == []
    with pytest.raises(LithoscopeError, match="two files of this name"):
        kept.keep_all({"x/a.png": png(), "y/a.png": png()})
    with pytest.raises(LithoscopeError, match="two files of this name"):
        kept.keep_all([("a.png", png()), ("a.png", png())])
