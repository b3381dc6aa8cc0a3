"""All that is known of a scan, as a list of names and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from encoder.scale_bars import length_label
from search_ui.components.wording import (
    NOT_KNOWN,
    modality_text,
    permeability_words,
    porosity_words,
    property_words,
    safe,
    with_prediction,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from search_ui.library import ScanPage, SlicePage

Facts = list[tuple[str, str]]
_TOLD_APART = {
    "porosity",
    "permeability_md",
    "pixel_size_um",
    "predicted_porosity",
    "predicted_permeability_md",
}


_NAMES = {
    "n_planes": "Planes",
    "height": "Height in pixels",
    "width": "Width in pixels",
    "dtype": "Type of pixels",
    "window": "Grey window",
}
"""What facts of a file are called."""


def facts_html(facts: Iterable[tuple[str, str]]) -> str:
    """Write them as HTML; each text may be anyone's."""
    items = "".join(f"<dt>{safe(name)}</dt><dd>{safe(value)}</dd>" for name, value in facts)
    return f'<dl class="litho-facts">{items}</dl>'


def scan_facts(page: ScanPage, shown: SlicePage) -> Facts:
    """Everything of a scan, and of one of its slices.

    Args:
        page: The scan.
        shown: The slice.
    """
    size = page.pixel_size_um
    facts = [
        ("Scan", page.object_key),
        ("Slice", f"{shown.slice_index}{f', {shown.place}' if shown.place else ''}"),
        ("Reservoir", page.reservoir or NOT_KNOWN),
        ("Sample", page.sample or NOT_KNOWN),
        ("Imaged by", modality_text(page.modality)),
        *(
            (name, with_prediction(measured, predicted))
            for name, measured, predicted in property_words(page.properties)
        ),
        ("Pixel size", NOT_KNOWN if size is None else f"{size:g} µm"),
    ]
    if shown.width_um is not None:
        facts.append(("Width shown", length_label(float(f"{shown.width_um:.3g}"))))
    facts += _slice_predictions(shown)
    facts += [
        (name.replace("_", " "), f"{value:g}")
        for name, value in shown.numbers.items()
        if name not in _TOLD_APART and value is not None
    ]
    return facts + _texts(page.free) + _texts(page.facts)


def _slice_predictions(shown: SlicePage) -> Facts:
    porosity = shown.numbers.get("predicted_porosity")
    permeability = shown.numbers.get("predicted_permeability_md")
    told = [] if porosity is None else [porosity_words(porosity)]
    if permeability is not None:
        told.append(permeability_words(permeability))
    return [("Predicted of this slice", ", ".join(told))] if told else []


def _texts(values: Mapping[str, Any]) -> Facts:
    return [
        (_NAMES.get(name, name.replace("_", " ").capitalize()), _text(value))
        for name, value in values.items()
    ]


def _text(value: Any) -> str:  # noqa: ANN401  JSON of anyone
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)
