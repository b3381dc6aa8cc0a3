"""Validated values of a scan: bounds, provenance, digest; user metadata of stored objects."""

from __future__ import annotations

import hashlib
import math
import pickle

import pytest

from encoder.metadata.problems import SHOWN_PROBLEMS, MetadataError, MetadataProblem
from encoder.metadata.records import Modality, Properties, Provenance, ScanMetadata, SourceKind
from encoder.metadata.user import read_user_metadata


@pytest.mark.parametrize("porosity", [0, 0.0, 0.2, 1, 1.0])
@pytest.mark.parametrize("permeability", [0, 1e-9, 5e6])
def test_properties_in_bounds_are_kept_as_floats(porosity: float, permeability: float) -> None:
    properties = Properties(porosity=porosity, permeability_md=permeability)
    assert (properties.porosity, properties.permeability_md) == (porosity, permeability)
    assert type(properties.porosity) is float
    assert type(properties.permeability_md) is float


def test_porosity_above_one_is_told_not_to_be_per_cent() -> None:
    with pytest.raises(MetadataError, match="not per cent") as caught:
        Properties(porosity=23.5)
    assert "23.5" in str(caught.value)


@pytest.mark.parametrize("porosity", [-0.1, math.nan, math.inf])
def test_only_porosity_above_one_may_be_per_cent(porosity: float) -> None:
    with pytest.raises(MetadataError) as caught:
        Properties(porosity=porosity)
    assert "100" not in str(caught.value)
    assert "from 0 to 1; correct it" in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"porosity": -0.1},
        {"porosity": math.nan},
        {"porosity": True},
        {"porosity": "0.2"},
        {"permeability_md": -1.0},
        {"permeability_md": math.inf},
        {"extra": {"depth_m": math.nan}},
        {"extra": {"depth_m": [1]}},
        {"extra": {"depth_m": None}},
    ],
)
def test_properties_out_of_bounds_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MetadataError):
        Properties(**wrong)  # type: ignore[arg-type]  # wrong types are what is tested


def test_all_problems_of_a_value_are_told_at_once() -> None:
    with pytest.raises(MetadataError) as caught:
        Properties(porosity=2, permeability_md=-1, extra={"x": math.inf})
    assert [problem.column for problem in caught.value.problems] == [
        "porosity",
        "permeability_md",
        "x",
    ]


def test_numbers_of_any_property_are_found_by_name() -> None:
    properties = Properties(
        porosity=0.2, extra={"depth_m": 1200, "clay": 0.3, "cored": True, "basin": "Tarim"}
    )
    asked = ["porosity", "permeability_md", "depth_m", "clay", "cored", "basin", "unheard_of"]
    assert [properties.number(name) for name in asked] == [
        *(0.2, None, 1200.0, 0.3),
        *(None, None, None),  # true/false and text are no numbers
    ]


def test_properties_keep_their_own_copy() -> None:
    extra = {"depth_m": 1}
    properties = Properties(extra=extra)
    extra["depth_m"] = 2
    assert properties.extra == {"depth_m": 1}


@pytest.mark.parametrize("size", [0.0, -1.0, math.inf, math.nan])
def test_pixel_size_must_be_positive(size: float) -> None:
    with pytest.raises(MetadataError, match=r"expected a pixel size from 0\.0001"):
        ScanMetadata(object_key="a.png", pixel_size_um=size)


def test_empty_names_are_refused() -> None:
    with pytest.raises(MetadataError, match="empty name"):
        ScanMetadata(object_key="a.png", sample=" ")


def test_scan_of_unknown_sample_is_its_own() -> None:
    alone = ScanMetadata(object_key="scans/E1/_/a.png", reservoir="E1")
    assert alone.sample is None
    assert alone.sample_or_own == "scans/E1/_/a.png"
    assert ScanMetadata(object_key="a.png", sample="S1").sample_or_own == "S1"


def test_file_pixel_size_only_fills_a_gap() -> None:
    unknown = ScanMetadata(object_key="a.tif")
    filled = unknown.with_file_pixel_size(2.5)
    assert filled.pixel_size_um == 2.5
    assert filled.provenance["pixel_size_um"].kind is SourceKind.FILE
    assert unknown.with_file_pixel_size(None) is unknown
    assert filled.with_file_pixel_size(7.0).pixel_size_um == 2.5


def scan(**fields: object) -> ScanMetadata:
    base: dict[str, object] = {
        "object_key": "a.png",
        "reservoir": "E1",
        "modality": Modality.MICRO_CT,
        "properties": Properties(porosity=0.2, extra={"b": 1, "a": "x"}),
    }
    return ScanMetadata(**(base | fields))  # type: ignore[arg-type]  # fields by name


def test_digest_changes_with_every_value() -> None:
    changed = [
        scan(reservoir="E2"),
        scan(reservoir=None),
        scan(sample="S1"),
        scan(modality=None),
        scan(modality=Modality.THIN_SECTION),
        scan(pixel_size_um=2.0),
        scan(properties=Properties(porosity=0.2)),
        scan(properties=Properties(porosity=0.21, extra={"b": 1, "a": "x"})),
        scan(properties=Properties(permeability_md=0.2, extra={"b": 1, "a": "x"})),
        scan(properties=Properties(porosity=0.2, extra={"b": 2, "a": "x"})),
        scan(properties=Properties(porosity=0.2, extra={"b": "1", "a": "x"})),
        scan(properties=Properties(porosity=0.2, extra={"b": True, "a": "x"})),
    ]
    digests = {each.metadata_hash() for each in [scan(), *changed]}
    assert len(digests) == len(changed) + 1


def test_digest_ignores_what_is_no_correction() -> None:
    origin = Provenance(kind=SourceKind.PATH, source="a.png")
    same = [
        scan(object_key="b.png"),
        scan(provenance={"reservoir": origin}, notes=("odd",)),
        scan(properties=Properties(porosity=0.2, extra={"a": "x", "b": 1.0})),
    ]
    assert {each.metadata_hash() for each in same} == {scan().metadata_hash()}


def test_digest_is_the_same_in_every_release() -> None:
    """Stored digests are compared with new ones: a change of form would re-key everything."""
    text = '{"a": "x", "b": 1, "modality": "micro_ct", "porosity": 0.2, "reservoir": "E1"}'
    assert scan().metadata_hash() == hashlib.sha256(text.encode()).hexdigest()


def test_long_errors_are_bounded_and_pickle() -> None:
    problems = [
        MetadataProblem(source="m.csv", row=row, found="'x'", expected="a number", remedy="mend")
        for row in range(2, 502)
    ]
    error = MetadataError(problems)
    assert len(str(error).splitlines()) == SHOWN_PROBLEMS + 2
    assert "500 problems" in str(error)
    assert f"{500 - SHOWN_PROBLEMS} more" in str(error)
    assert pickle.loads(pickle.dumps(error)).problems == problems  # noqa: S301 - made right here


def test_user_metadata_reads_like_a_row() -> None:
    values = read_user_metadata(
        {
            "X-Amz-Meta-Porosity": "0.2",
            "permeability-d": "1.5",
            "pixelsize_nm": "2500",
            "Modality": "Thin Section",
            "sample": "S1",
            "drilled": "2021-03-04",
            "cored": "true",
            "clay fraction": "0.12",
            "reservoir": "-",
        },
        source="scans/E1/S1/a.png",
    )
    assert {name: user.value for name, user in values.items()} == {
        "porosity": 0.2,
        "permeability_md": 1500.0,
        "pixel_size_um": 2.5,
        "modality": "thin_section",
        "sample": "S1",
        "drilled": "2021-03-04",
        "cored": True,
        "clay_fraction": 0.12,
    }
    assert values["porosity"].key == "Porosity"


def test_technical_user_metadata_is_no_property() -> None:
    texts = {"shape": "9,9,9", "dtype": "<u2", "Header-Bytes": "0", "lithoscope-sha256": "00"}
    assert read_user_metadata(texts, source="k") == {}


def test_wrong_user_metadata_is_told_all_at_once() -> None:
    texts = {"porosity": "23", "permeability": "low", "pixelsize_um": "0", "modality": "mri"}
    with pytest.raises(MetadataError) as caught:
        read_user_metadata(texts, source="scans/E1/S1/a.png")
    assert len(caught.value.problems) == 4
    assert "user metadata of scans/E1/S1/a.png" in str(caught.value)


def test_two_keys_for_one_field_are_refused() -> None:
    with pytest.raises(MetadataError, match="2 columns for porosity"):
        read_user_metadata({"porosity": "0.2", "phi": "0.2"}, source="k")
