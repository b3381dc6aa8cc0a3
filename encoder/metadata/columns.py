"""What a column of a metadata table means: aliases of our fields, and units in the names.

Names are compared without case, spaces, underscores and hyphens. A unit may follow in brackets
(``Permeability (D)``) or after a separator (``Pixelsize_nm``) and decides the conversion; a unit
that is unknown, or wrong for the field, is an error. Whatever is no field of ours is a free
property, named in lower case with underscores (``Depth (m)`` becomes ``depth_m``).

RockIR's tables (its ``tests/`` and ``src/dataloader/``) have ``Image``, ``Label``,
``Created_label``, ``Porosity``, ``Permeability`` (mD), ``Pixelsize`` (µm) and free ones.
``Created_label`` names the folder of a sample; beside it, ``Label`` is read as the reservoir.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

ONE = Decimal(1)


class Field(StrEnum):
    """Fields of ours that a column can hold."""

    OBJECT_KEY = "object_key"
    IMAGE = "image"
    RESERVOIR = "reservoir"
    SAMPLE = "sample"
    MODALITY = "modality"
    POROSITY = "porosity"
    PERMEABILITY_MD = "permeability_md"
    PIXEL_SIZE_UM = "pixel_size_um"


ALIASES: dict[Field, tuple[str, ...]] = {
    Field.OBJECT_KEY: ("objectkey",),
    Field.IMAGE: ("image", "imagename", "imagefile", "imagepath"),
    Field.RESERVOIR: ("reservoir", "reservoirname", "reservoirid"),
    Field.SAMPLE: ("sample", "samplename", "sampleid", "createdlabel"),
    Field.MODALITY: ("modality", "imagingmodality"),
    Field.POROSITY: ("porosity", "poro", "por", "phi", "φ"),
    Field.PERMEABILITY_MD: ("permeability", "perm", "k"),
    Field.PIXEL_SIZE_UM: ("pixelsize", "voxelsize", "pixelspacing", "voxelspacing", "resolution"),
}
"""Names of each field, squashed; a table with two of one field's names is refused."""

SECOND_CHOICES: dict[Field, tuple[str, ...]] = {
    Field.IMAGE: ("file", "filename", "filepath", "path", "scan"),
    Field.RESERVOIR: ("formation",),
}
"""Names that stand for a field only where the table has none of its `ALIASES`."""

NEED_UNIT = ("k", "resolution")
"""Names that mean other things as well: they count only with a unit."""

SAMPLE_FOLDER_COLUMN = "createdlabel"
"""RockIR's sample column: its rows stand for the folder of that name, image or not."""

ROCKIR_RESERVOIR = "label"

UNITS: dict[Field, dict[str, Decimal]] = {
    Field.POROSITY: {
        **dict.fromkeys(("fraction", "frac", "v/v", "vv", "decimal", "-"), ONE),
        **dict.fromkeys(("%", "percent", "pct", "pu"), Decimal("0.01")),
    },
    # 1 darcy = 1e-7 / 101325 m² exactly (from cP, cm, s and atm)
    Field.PERMEABILITY_MD: {
        **dict.fromkeys(("md", "millidarcy", "millidarcys", "millidarcies"), ONE),
        **dict.fromkeys(("d", "darcy", "darcys", "darcies"), Decimal(1000)),
        **dict.fromkeys(("μd", "ud", "microdarcy"), Decimal("1e-3")),
        **dict.fromkeys(("nd", "nanodarcy"), Decimal("1e-6")),
        "m2": Decimal("1.01325e15"),
        "cm2": Decimal("1.01325e11"),
        **dict.fromkeys(("μm2", "um2"), Decimal("1013.25")),
    },
    Field.PIXEL_SIZE_UM: {
        **dict.fromkeys(("μm", "um", "micron", "microns"), ONE),
        **dict.fromkeys(("micrometer", "micrometers", "micrometre", "micrometres"), ONE),
        **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), ONE / 1000),
        **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre"), Decimal(1000)),
        "cm": Decimal("1e4"),
        "m": Decimal("1e6"),
    },
}
"""Units of each field, squashed, with the factor to ours."""

OTHER_UNITS = frozenset({"ft", "ft2", "inch", "inches", "km", "pm", "å", "mil", "ppm", "psi"})
"""Words that are a unit after a field's name, though none that the field has."""

_ALL_UNITS = OTHER_UNITS.union(*UNITS.values())
_BRACKETED = re.compile(r"(?P<base>.*?)\s*[(\[](?P<unit>[^()\[\]]*)[)\]]\s*")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a column's name says.

    Attributes:
        field: Field of ours, or None for a free property.
        factor: What the column's numbers are multiplied by to get our unit.
        unit: Unit as the name gives it, or ``""``.
        unit_known: Whether the field has that unit.
        first_choice: Whether the name is among `ALIASES` (not `SECOND_CHOICES`).
    """

    field: Field | None
    factor: Decimal = ONE
    unit: str = ""
    unit_known: bool = True
    first_choice: bool = True


def squash(name: str) -> str:
    """Reduce a name to what is compared: no case, spaces, underscores, hyphens or dots."""
    return re.sub(r"[\s_\-.]+", "", unicodedata.normalize("NFKC", name).casefold())


def free_name(header: str) -> str:
    """Name of a free property: ``Clay fraction (%)`` becomes ``clay_fraction_percent``."""
    text = unicodedata.normalize("NFKC", header).lower().replace("%", " percent ")
    return re.sub(r"[\W_]+", "_", text).strip("_") or header.strip()


def meaning_of(header: str) -> Meaning:
    """Read a column's name.

    Args:
        header: Name as it stands in the table.

    Returns:
        Field, unit and factor. ``Label`` and ``SECOND_CHOICES`` depend on the other columns
        (`header.read_header` decides).
    """
    text = unicodedata.normalize("NFKC", header).strip()
    if bracketed := _BRACKETED.fullmatch(text):
        unit = re.sub(r"[\s_.^]|/(px|pixel|voxel|vx)$", "", bracketed["unit"].casefold())
        return _bracketed_meaning(bracketed["base"], unit)
    if (whole := _named(text)) and squash(text) not in NEED_UNIT:
        return Meaning(whole, first_choice=squash(text) in ALIASES[whole])
    return _trailing_unit_meaning(text)


def unit_words(name: str) -> str:
    """Units that a field has, for a message."""
    return ", ".join(UNITS[Field(name)])


def _named(base: str) -> Field | None:
    squashed = squash(base)
    for names in (ALIASES, SECOND_CHOICES):
        for name, spellings in names.items():
            if squashed in spellings:
                return name
    return None


def _with_unit(name: Field, unit: str) -> Meaning:
    factor = UNITS[name].get(unit) if unit else ONE
    return Meaning(name, factor=factor or ONE, unit=unit, unit_known=factor is not None)


def _bracketed_meaning(base: str, unit: str) -> Meaning:
    name = _named(base)
    if name is None or (squash(base) in NEED_UNIT and unit not in _ALL_UNITS):
        return Meaning(None)
    if name in UNITS:
        return _with_unit(name, unit)
    # what is bracketed after "Sample" or "Image" is a remark
    return Meaning(name, first_choice=squash(base) in ALIASES[name])


def _trailing_unit_meaning(text: str) -> Meaning:
    """Read ``Permeability_mD``, ``porosity per cent``, ``Porosity%``, ``k in mD``, ``PoroPct``."""
    words = [word for word in re.split(r"[\s_\-,./]+", text.replace("%", " %").casefold()) if word]
    for count in (1, 2):
        base, unit = words[:-count], "".join(words[-count:])
        if base and base[-1] == "in":
            base.pop()
        name = _named("".join(base))
        if name in UNITS and unit in _ALL_UNITS and _is_unit_of(name, unit, base=base):
            return _with_unit(name, unit)
    return _glued_unit_meaning("".join(words))


def _is_unit_of(name: Field, unit: str, *, base: list[str]) -> bool:
    """Whether a last word is meant as a unit: ``phi_d`` and ``K_d`` are quantities of their own."""
    return len(unit) > 1 or (unit in UNITS[name] and base != ["k"])


def _glued_unit_meaning(squashed: str) -> Meaning:
    for name, units in UNITS.items():
        for base in ALIASES[name]:
            unit = squashed.removeprefix(base)
            is_clear = len(base) >= 4 or squashed == "kmd"
            if is_clear and unit != squashed and unit in units:
                return _with_unit(name, unit)
    return Meaning(None)
