"""Words that filters in words are written with; names that are such words stand in quotes."""

from __future__ import annotations

_FILLER_WORDS = (
    "a an the please show me find give i want need search for look looking with where whose having "
    "that which has have are is be it its of slices slice images image pictures rocks rock hits "
    "results ones those some like to in on"
)
FILLERS = frozenset(_FILLER_WORDS.split())
"""Words that ask for nothing."""

_TURNING_WORDS = (
    "not no none without exclude excluding except only just hide drop skip omit ignore minus never "
    "over above under below least most more less than between at up max min maximum minimum other "
    "everything anything nothing nobody zero avoid avoiding remove removing outside beyond all but "
    "unless nor isn't aren't don't from"
)
TURNING = frozenset(_TURNING_WORDS.split())
"""Words that may turn a meaning around."""

VOCABULARY = (
    *("porosity", "permeability", "pixel size", "similarity", "reservoir", "sample", "exclude"),
    *("only", "without", "micro-CT", "thin section", "grouped by", "unmeasured", "three rows"),
    *("at least", "at most", "between", "hits", "own sample"),
)
"""What misspellings are compared with."""

OURS = (
    FILLERS
    | TURNING
    | {"and", "or", "hit", "k", "named", "called", "rows", "by", "per", "each", "every", "exactly"}
    | {*" ".join(VOCABULARY).casefold().split()}
)
"""Names that are made of nothing but these are meant only where they stand in quotes."""
