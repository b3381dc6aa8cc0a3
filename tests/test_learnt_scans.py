"""What a card tells of the scans that a model learned from, and who finds them again."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import pytest

from encoder.planes import ReadOptions
from infra.packing import pack
from slice_samples import make_slices
from trainer.config import TrainConfig
from trainer.learnt_scans import (
    learnt_entries,
    seen_before,
    seen_rows,
    start_entries,
    untold_start,
)
from trainer.scan_content import ContentHashes
from trainer.splits import Split

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.slice_set import SliceSet

SAMPLES, EACH = 12, 2
TRAINED = {"data": "of another set"}


def scans(*, names: str = "R{0}/S {1}/a.tif", known: bool = True, first: int = 0) -> SliceSet:
    """Twelve scans of two slices; contents are numbered from the first one on."""
    slices = make_slices(reservoirs=3, samples=4, slices=EACH)
    contents = [sha256(str(first + n).encode()).hexdigest() for n in range(SAMPLES)]
    return replace(
        slices,
        scan_names=tuple(names.format(n // 4, n % 4) for n in range(SAMPLES)),
        scan_sha256=tuple(contents) if known else (),
    )


def split_of(*samples: int) -> Split:
    """Learns from some samples; the last is validated on."""
    rows = [np.arange(EACH * n, EACH * (n + 1)) for n in samples]
    everything = np.arange(SAMPLES * EACH)
    learnt = np.concatenate(rows)
    return Split(
        train=np.concatenate(rows[:-1]), val=rows[-1], test=np.setdiff1d(everything, learnt)
    )


def seen(card: dict[str, str], slices: SliceSet) -> list[int] | None:
    rows = seen_rows(TRAINED | card, slices, rows=np.arange(len(slices)))
    return None if rows is None else sorted({int(slices.sample[row]) for row in rows})


BUCKET = "scans/R{0}/S%20{1}/a.tif"


@pytest.mark.parametrize("names", ["R{0}/S {1}/a.tif", BUCKET, "flat/{0}-{1}.tif"])
def test_a_scan_is_known_by_its_content_wherever_it_lies(names: str) -> None:
    card = learnt_entries(scans(), split_of(1, 2, 7))
    assert seen(card, scans(names=names)) == [1, 2, 7]
    assert seen(card, scans(names=names, first=2)) == [0, 5]  # names tell nothing then


@pytest.mark.parametrize("here", [True, False])
def test_where_one_side_does_not_tell_the_content_names_are_compared(here: bool) -> None:
    """Unescaped: those of a bucket are not spelt as those of a library."""
    card = learnt_entries(scans(known=here), split_of(1, 2))
    assert seen(card, scans(names=BUCKET, known=not here, first=5)) == [1, 2]
    card = learnt_entries(scans(names=BUCKET, known=here), split_of(1, 2))
    assert seen(card, scans(known=not here)) == [1, 2]
    assert seen(card, scans(names="flat/{0}-{1}.tif", known=not here)) == []


def test_cards_of_former_releases_are_understood() -> None:
    """They have marks of names, as they are spelt."""
    for names in ("R{0}/S {1}/a.tif", BUCKET):
        slices = scans(names=names)
        plain = [name.removeprefix("scans/") for name in slices.scan_names[:3]]
        card = {"learnt_scans": "".join(sorted(sha256(n.encode()).hexdigest()[:8] for n in plain))}
        assert seen(card, slices) == [0, 1, 2]
    assert seen({}, scans()) is None  # a bundle that was published as it was, of other data


def test_what_a_model_began_from_is_told_on() -> None:
    """Through three generations, each of other samples; the last one's own are apart."""
    slices = scans()
    card: dict[str, str] = {}
    for number, samples in enumerate([(0, 1), (4, 5), (8, 9)]):
        before = start_entries(TRAINED | card, slices, name="start") if number else None
        card = learnt_entries(slices, split_of(*samples), before=before)
    assert seen(card, scans(names=BUCKET)) == [0, 1, 4, 5, 8, 9]
    every = np.arange(len(slices))
    assert set(slices.sample[seen_before(card, slices, rows=every)]) == {0, 1, 4, 5}
    assert untold_start(TRAINED | card) == ""
    # A model of the same split did not learn from its test part; what it began from may have.
    rows = seen_rows(TRAINED | card | {"split": "this"}, slices, rows=every, split="this")
    assert rows is not None
    assert set(slices.sample[rows]) == {0, 1, 4, 5}


def test_a_start_that_does_not_tell_is_named() -> None:
    slices = scans()
    before = start_entries(TRAINED, slices, name="dsnn-1")
    card = TRAINED | learnt_entries(slices, split_of(0, 1), before=before)
    assert untold_start(card) == "dsnn-1"
    later = start_entries(card, slices, name="dsnn-2")
    assert untold_start(TRAINED | later) == "dsnn-1"  # of dsnn-2 all is known
    assert untold_start({}) == ""  # never trained
    for init, told in (
        ("imagenet", ""),
        ("seed:0", ""),
        ("runs/first/bundle", "runs/first/bundle"),
    ):
        config = TrainConfig.model_validate({"model": {"init": init}})
        assert untold_start(TRAINED | {"config": config.model_dump_json()}) == told


def test_imported_weights_do_not_tell_what_they_learned_from() -> None:
    slices = scans()
    imported = {"source": "RockIR, epoch 3"}
    assert seen_rows(imported, slices, rows=np.arange(len(slices))) is None
    assert start_entries(imported, slices, name="dsnn-1")["learnt_untold"] == "RockIR, epoch 3"
    assert seen_rows({}, slices, rows=np.arange(len(slices))) is not None  # never trained


def test_more_scans_than_a_card_holds_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.learnt_scans._SCANS_MAX", 3)
    slices = scans()
    first = learnt_entries(slices, split_of(0, 1, 2))
    assert seen(first, slices) == [0, 1, 2]
    before = start_entries(TRAINED | first, slices, name="start")
    second = learnt_entries(slices, split_of(4, 5), before=before)
    assert seen(second, slices) == [4, 5]
    assert untold_start(second | TRAINED) == "a model that learned from 3 scans"
    assert seen(learnt_entries(slices, split_of(0, 1, 2, 3)), slices) is None


def test_a_pair_of_files_is_known_by_what_a_bucket_stores_of_it(tmp_path: Path) -> None:
    header, raw = tmp_path / "v.mhd", tmp_path / "v.raw"
    text = "NDims = 3\nDimSize = 4 3 2\nElementType = MET_UCHAR\nElementDataFile = v.raw\n"
    header.write_text(text)
    for last in range(2):
        raw.write_bytes(bytes(23) + bytes([last]))
        with ContentHashes(tmp_path / "cache") as hashes:
            found = {hashes.stored_sha256(header) for _ in range(2)}
            assert found == {pack(header, ReadOptions()).sha256()}
            assert hashes.stored_sha256(raw) == sha256(raw.read_bytes()).hexdigest()
