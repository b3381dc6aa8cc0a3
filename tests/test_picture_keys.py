from __future__ import annotations

import pytest

from infra.generations import generation_of
from infra.indexing.records import record_id
from infra.pictures import (
    PictureKey,
    PictureKind,
    picture_prefixes,
    preview_key,
    thumbnail_key,
)
from infra.store_keys import check_key

KEYS = ["scans/E1/S1/a.png", "scans/" + "x" * 1000, 'a"\\\n', "\udcff"]


@pytest.mark.parametrize("object_key", KEYS)
def test_a_pictures_key_names_scan_generation_and_slice(object_key: str) -> None:
    generation = generation_of("etag", "fingerprint")
    small = thumbnail_key(object_key, generation, slice_index=7)
    large = preview_key(object_key, generation, slice_index=7)
    scan = record_id(object_key)
    assert small == f"thumbnails/{scan}/{generation}/7.webp"
    assert large == f"previews/{scan}/{generation}/7.jpg"
    assert check_key(small)
    assert check_key(large)
    assert picture_prefixes(object_key) == (f"thumbnails/{scan}/", f"previews/{scan}/")
    for key, kind in ((small, PictureKind.THUMBNAIL), (large, PictureKind.PREVIEW)):
        found = PictureKey.parse(key)
        assert found == PictureKey(kind=kind, scan=scan, generation=generation, slice_index=7)
        assert str(found) == key


@pytest.mark.parametrize(
    "key",
    [
        "thumbnails/a/b/1.jpg",
        "previews/a/b/1.webp",
        "previews/a/b/01.jpg",
        "previews/a/b/x.jpg",
        "previews/a/b/c/1.jpg",
        "previews/a/1.jpg",
        "previews/a/b/1.jpg\n",
        "previews/a/b/²1.jpg",
        "pictures/a/b/1.jpg",
        "thumbnails/readme.txt",
        "",
    ],
)
def test_other_keys_are_no_pictures(key: str) -> None:
    assert PictureKey.parse(key) is None


def test_a_generation_is_of_one_content_under_one_fingerprint() -> None:
    pairs = [
        ("a", "b"),
        ("ab", ""),
        ("", "ab"),
        ("a", "b2"),
        ("a2", "b"),
        ('a", "b', "c"),
        ("a", "é"),
    ]
    names = {generation_of(*pair) for pair in pairs}
    assert len(names) == len(pairs)
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in names)
    # written down: rows of an index outlive a release
    assert generation_of("a", "b") == "3554d2b8a1e34099053865de8576d146"
