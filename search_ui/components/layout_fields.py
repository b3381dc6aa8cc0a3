"""How a headerless volume is laid out, typed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from encoder.readers.raw_layout import SAMPLE_TYPES, layout_from_parts

if TYPE_CHECKING:
    from encoder.planes import RawLayout

_ORDERS = {"little": "little endian (PCs)", "big": "big endian"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedLayout:
    """What was typed in, as far as anything was.

    Attributes:
        shape: Planes, rows and columns; None for each that was left out.
        sample_type: Such as ``"uint16"``, or None.
        byte_order: ``"little"`` or ``"big"``.
        header_bytes: Bytes before the first voxel.
        pixel_size_um: In micrometres, or None.
    """

    shape: tuple[int | None, int | None, int | None]
    sample_type: str | None
    byte_order: str
    header_bytes: int
    pixel_size_um: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether neither a size nor a type was given."""
        return self.sample_type is None and all(side is None for side in self.shape)

    def layout(self) -> RawLayout:
        """The layout.

        Raises:
            LithoscopeError: Something is missing or can't be right.
        """
        return layout_from_parts(
            self.shape,
            self.sample_type,
            byte_order=self.byte_order,
            header_bytes=self.header_bytes,
            pixel_size_um=self.pixel_size_um,
        )


def layout_fields(key: str, *, asks_pixel_size: bool) -> TypedLayout:
    """Ask for a layout, inside a form.

    Args:
        key: What the fields' keys begin with.
        asks_pixel_size: Whether the size of a voxel is asked for as well.
    """
    columns = st.columns(3)
    labels = ("Depth (planes)", "Height (rows)", "Width (columns)")
    sides = [
        column.number_input(label, value=None, min_value=1, step=1, key=f"{key}_side_{place}")
        for place, (column, label) in enumerate(zip(columns, labels, strict=True))
    ]
    left, middle, right = st.columns(3)
    sample_type = left.selectbox(
        "Type of a voxel", list(SAMPLE_TYPES), index=None, placeholder="choose", key=f"{key}_type"
    )
    order = middle.selectbox(
        "Byte order", list(_ORDERS), format_func=lambda name: _ORDERS[name], key=f"{key}_order"
    )
    header = right.number_input(
        "Bytes before the voxels", value=0, min_value=0, step=1, key=f"{key}_header"
    )
    size = None
    if asks_pixel_size:
        size = st.number_input(
            "Pixel size in µm",
            value=None,
            min_value=0.0,
            format="%g",
            placeholder="not known",
            key=f"{key}_pixel",
        )
    return TypedLayout(
        shape=(sides[0], sides[1], sides[2]),
        sample_type=sample_type,
        byte_order=order or "little",
        header_bytes=header or 0,
        pixel_size_um=size,
    )
