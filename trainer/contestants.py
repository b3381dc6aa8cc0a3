"""Which models an evaluation is of: bundles, runs, published models, encoders by name, KAZE."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.bundle import MANIFEST_NAME, load_bundle, verify_bundle
from encoder.encoders import ENCODERS, build_encoder
from encoder.registry import find_entry
from infra.site import open_site
from infra.weights import find_weights
from trainer.descriptions import EvaluationError
from trainer.learnt_scans import is_stored
from trainer.training import BUNDLE_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from encoder.encoders import NeuralEncoder
    from encoder.preprocess import Preprocessing
    from infra.settings import Settings

KAZE = "kaze"
"""The word for the KAZE baseline."""

FORMS = (
    "a bundle's or a run's folder, a published model, kaze, or an encoder with its start, such as "
    "dsnn@seed:0 or resnet34-imagenet@imagenet"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A model that was asked for.

    Attributes:
        name: What tables call it; no two are alike.
        word: What was asked for.
        folder: Its bundle; None for what is built anew.
    """

    name: str
    word: str
    folder: Path | None

    @property
    def is_kaze(self) -> bool:
        """Whether it is the KAZE baseline, which learns its vocabulary from training slices."""
        return self.folder is None and self.word == KAZE

    @property
    def past_is_unknown(self) -> bool:
        """Whether it begins from a file of weights, which does not tell what it learned from."""
        _, _, init = self.word.partition("@")
        return self.folder is None and bool(init) and is_stored(init)

    def bundle(self) -> NeuralEncoder | None:
        """Load its bundle; None where it has none.

        Raises:
            BundleError: The bundle is refused.
        """
        return None if self.folder is None else load_bundle(self.folder)

    def build(self, preprocessing: Preprocessing) -> NeuralEncoder:
        """Build an encoder by name.

        Args:
            preprocessing: How slices are made for it.

        Raises:
            EncoderError: There is no encoder of that name.
            WeightsError: Its weights can't be found.
        """
        name, _, init = self.word.partition("@")
        init = init or "imagenet"
        weights = find_weights(find_entry(name).backbone, init)
        return build_encoder(name, init, weights_path=weights, preprocessing=preprocessing)


def find_contestants(words: Sequence[str], settings: Settings) -> list[Contestant]:
    """Find models by the words that name them.

    Args:
        words: Each in one of ``FORMS``, with ``NAME=`` before it where tables are to call it so.
        settings: The site's, whose published models may be named.

    Returns:
        The models, in this order.

    Raises:
        EvaluationError: A word names nothing, or two models would bear one name.
        ModelRegistryError: No model of that name is published.
    """
    found = [_find(word, settings) for word in words]
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise EvaluationError(
            f"models {', '.join(twice)}: asked for more than once; give them names, such as "
            f"first={words[names.index(twice[0])]}"
        )
    return found


def run_folder_of(word: str) -> Path | None:
    """The run's folder that a word names; None where it names something else."""
    folder = Path(_split_name(word)[1])
    return folder if (folder / BUNDLE_NAME / MANIFEST_NAME).is_file() else None


def _split_name(word: str) -> tuple[str, str]:
    """Part ``NAME=MODEL``; a path may hold an equals sign."""
    name, equals, model = word.partition("=")
    if not equals or Path(word).exists():
        return "", word
    return name, model


def _bundle_beside(word: str) -> Path | None:
    """The bundle in ``ENCODER@BUNDLE`` (or a run's); None where a word is something else.

    Raises:
        EvaluationError: It is another encoder's.
    """
    encoder, _, start = word.partition("@")
    if encoder not in ENCODERS or not start:
        return None
    run = run_folder_of(start)
    folder = Path(start) if run is None else run / BUNDLE_NAME
    if not (folder / MANIFEST_NAME).is_file():
        return None
    found = verify_bundle(folder).encoder
    if found != encoder:
        raise EvaluationError(
            f"{word}: found a bundle of {found}, expected one of {encoder}; name its folder alone"
        )
    return folder


def _find(asked: str, settings: Settings) -> Contestant:
    name, word = _split_name(asked)
    run = run_folder_of(word)
    if run is not None:
        return Contestant(name=name or run.resolve().name, word=word, folder=run / BUNDLE_NAME)
    if (Path(word) / MANIFEST_NAME).is_file():
        return Contestant(name=name or Path(word).resolve().name, word=word, folder=Path(word))
    if (stored := _bundle_beside(word)) is not None:
        return Contestant(name=name or stored.resolve().name, word=word, folder=stored)
    if word == KAZE or word.partition("@")[0] in ENCODERS:
        return Contestant(name=name or word, word=word, folder=None)
    if Path(word).exists():
        raise EvaluationError(
            f"{word}: no model ({MANIFEST_NAME} is missing); name {FORMS}; a run has a bundle when "
            "it is finished"
        )
    with open_site(settings) as site:
        version = site.models.find(word)
        return Contestant(
            name=name or version.bundle_id, word=word, folder=site.models.fetch(version)
        )
