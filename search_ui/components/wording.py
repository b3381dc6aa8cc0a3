"""Names, numbers and places in words that a page may show: names are anyone's, and stay text."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from encoder.errors import printable
from search_ui.places import position_of
from search_ui.printing import NOT_MEASURED, permeability_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.indexing.records import SliceRow
    from search_ui.results import QueryFacts
    from search_ui.rock_properties import RockProperties

_NAME_LENGTH = 120
_MODALITIES = {"micro_ct": "micro-CT", "thin_section": "thin section"}
NOT_KNOWN = "not known"
REFUSED_FOR_NOW = (
    "Where “413” stands beside a file, the server took no more: it is too large, or people upload "
    "too much together at this moment; then try again later."
)
"""What Streamlit shows of a server that takes no more, and what helps."""


def safe(text: str) -> str:
    """Write anyone's text so that HTML shows it as it is."""
    return html.escape(printable(text), quote=True)


def upload_limit(mib: int) -> str:
    """How large a file may be, in the words of browsers: their MB are MiB.

    Args:
        mib: `UiSettings.upload_mib`.
    """
    return f"at most {mib:,} MB each"


def sentence(text: str, names: Sequence[str] = ()) -> str:
    """Begin with a capital letter, unless it begins with a name: those are as they are.

    Args:
        text: A note.
        names: Names that it may begin with, beside keys and names with a dot.
    """
    first = text.partition(" ")[0]
    is_name = not first.isalpha() or text.startswith(tuple(names))
    return text if is_name else text[:1].upper() + text[1:]


def short(text: str, length: int = _NAME_LENGTH) -> str:
    """Cut the middle out of a long name: both ends tell files apart."""
    if len(text) <= length:
        return text
    head = length // 2
    return f"{text[:head]}…{text[len(text) - (length - head - 1) :]}"


def file_name(name: str) -> str:
    """The last part of a key or path."""
    return name.rsplit("/", 1)[-1]


def rock(reservoir: str | None, sample: str | None) -> str:
    """Whose a slice is, in words."""
    return f"{reservoir or 'reservoir not known'} · {sample or 'sample not known'}"


def modality_text(modality: str | None) -> str:
    """How it was imaged, as people write it."""
    return NOT_KNOWN if modality is None else _MODALITIES.get(modality, modality)


def porosity_words(value: float | None) -> str:
    """A porosity with its unit."""
    return NOT_MEASURED if value is None else f"{100 * value:.3g} %"


def permeability_words(value: float | None) -> str:
    """A permeability with its unit."""
    return NOT_MEASURED if value is None else f"{permeability_text(value)} mD"


def with_prediction(measured: str, predicted: str | None) -> str:
    """A measured value, and the predicted one beside it where there is one."""
    return measured if predicted is None else f"{measured} (predicted {predicted})"


def property_words(known: RockProperties) -> tuple[tuple[str, str, str | None], ...]:
    """Porosity and permeability, each: its name, what was measured, what is predicted if it is."""
    porosity, permeability = known.predicted_porosity, known.predicted_permeability_md
    return (
        (
            "Porosity",
            porosity_words(known.porosity),
            None if porosity is None else porosity_words(porosity),
        ),
        (
            "Permeability",
            permeability_words(known.permeability_md),
            None if permeability is None else permeability_words(permeability),
        ),
    )


def place_of(row: SliceRow) -> str:
    """Where a slice lies in its scan, short enough for a picture; empty for a whole image."""
    plane = row.position.get("plane")
    if isinstance(plane, int):
        share = position_of(row)
        return f"plane {plane + 1}" + ("" if share is None else f" · {100 * share:.0f} %")
    return f"tile {row.slice_index + 1}" if row.position.get("tile") else ""


def query_title(facts: QueryFacts, name: str | None = None) -> str:
    """What is looked for, in a line.

    Args:
        facts: What is known of it.
        name: What its asker calls it; None for the last part of its name.
    """
    shown = short(name or file_name(facts.name), 60)
    slices = "" if facts.n_slices == 1 else f" · {facts.n_slices} slices"
    return f"{shown}{slices}"
