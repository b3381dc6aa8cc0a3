"""Everything that a training run may set, in one validated file (TOML), read without torch."""

from __future__ import annotations

import tomllib
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from encoder.errors import LithoscopeError
from encoder.metadata.records import Modality
from encoder.preprocess import IMAGENET_MEAN, IMAGENET_STD, SIZE_MAX, Preprocessing
from encoder.slicing import Slicing
from encoder.windows import WindowRule
from trainer.splits import SplitConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_SECTION = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ConfigError(LithoscopeError):
    """Settings of a run that can't be used."""


def _not_empty(value: object) -> object:
    """Refuse an empty path, such as of a variable that is not set: it means the working folder."""
    if isinstance(value, str) and not value.strip():
        raise ValueError("found nothing, allowed: a folder's path; . is the working folder")
    return value


UserPath = Annotated[Path, BeforeValidator(_not_empty), AfterValidator(Path.expanduser)]
"""A path that may begin with ``~``; a relative one is relative to the working folder."""


class DataConfig(BaseModel):
    """What to train on.

    Attributes:
        source: A ``library`` tree (reservoir/sample/file), ``rockir`` (train, val and db_test
            folders of sample folders), ``classes`` (a folder of class folders), or the ``bucket``
            that the settings name.
        path: The folder; not for the bucket.
        label: What makes two slices similar: one sample, or one class (reservoir).
        modality: Take only scans that were imaged like that.
        planes: Slices of a volume, at most.
        margin: Share of a volume's planes left out at either end.
        tiles: Slices of a large image.
        tile_min_side: Shorter side in pixels from which an image is cut into tiles.
        window: How a scan's grey window is found.
        flips: Whether training flips slices at random, left-right and up-down.
        cache: Folder of decoded slices; nothing for ``cache/slices`` in the home folder.
    """

    model_config = _SECTION

    source: Literal["library", "rockir", "classes", "bucket"] = Field(
        default="library", description="library, rockir, classes or bucket"
    )
    path: UserPath | None = Field(default=None, description="a folder's path")
    label: Literal["sample", "class"] = Field(default="sample", description="sample or class")
    modality: Modality | None = Field(default=None, description="micro_ct or thin_section")
    planes: PositiveInt = Field(default=90, description="a whole number from 1")
    margin: float = Field(default=0.05, ge=0, lt=0.5, description="from 0 to below 0.5")
    tiles: PositiveInt = Field(default=60, description="a whole number from 1")
    tile_min_side: PositiveInt = Field(default=1024, description="pixels, a whole number from 1")
    window: WindowRule = Field(default="percentile", description="percentile or none")
    flips: bool = Field(default=True, description="true or false")
    cache: UserPath | None = Field(default=None, description="a folder's path, or nothing")

    @property
    def slicing(self) -> Slicing:
        """Which slices a scan gives."""
        return Slicing(
            planes=self.planes,
            margin=self.margin,
            tiles=self.tiles,
            tile_min_side=self.tile_min_side,
        )


class ModelConfig(BaseModel):
    """What is trained.

    Attributes:
        encoder: Name of the encoder, such as ``dsnn``.
        init: ``imagenet``, ``seed:N``, or the path of a bundle or weights file.
        fusion: How a DSNN's two branches become one vector; nothing for the encoder's own.
        size: Side of the square that slices are resized to, in pixels.
    """

    model_config = _SECTION

    encoder: str = Field(default="dsnn", min_length=1, description="an encoder's name")
    init: str = Field(
        default="imagenet", min_length=1, description="imagenet, seed:N, or a bundle's path"
    )
    fusion: Literal["mean-normalised", "mean-raw", "split"] | None = Field(
        default=None, description="mean-normalised, mean-raw, split, or nothing"
    )
    size: int = Field(default=224, ge=1, le=SIZE_MAX, description=f"pixels, 1 to {SIZE_MAX}")


class PairsConfig(BaseModel):
    """How pairs of slices are made (docs/design.md D7).

    Attributes:
        strategy: ``in-batch``: all pairs of P samples x K slices, each encoded once. ``random``:
            drawn pairs, as in the paper.
        samples_per_batch: P.
        slices_per_sample: K.
        pairs_per_batch: Pairs of a batch, where they are drawn.
        same_share: Share of drawn pairs that are of one label.
    """

    model_config = _SECTION

    strategy: Literal["in-batch", "random"] = Field(
        default="in-batch", description="in-batch or random"
    )
    samples_per_batch: int = Field(default=32, ge=2, description="a whole number from 2")
    slices_per_sample: int = Field(default=4, ge=2, description="a whole number from 2")
    pairs_per_batch: PositiveInt = Field(default=64, description="a whole number from 1")
    same_share: float = Field(default=0.5, ge=0, le=1, description="from 0 to 1")

    @property
    def images_per_batch(self) -> int:
        """Images that are encoded for a batch."""
        if self.strategy == "random":
            return 2 * self.pairs_per_batch
        return self.samples_per_batch * self.slices_per_sample


class LossConfig(BaseModel):
    """What is minimised: siamese + fused + metadata, each weighed, + alpha · regression.

    Attributes:
        alpha: Weight of the regression (paper: 10).
        regression: ``l1`` (the paper's text) or ``smooth_l1``.
        beta: Where ``smooth_l1`` turns from square to straight, in scaled units.
        siamese: Weight of same sample or not, from branch 1.
        fused: Weight of the fused classifier.
        metadata: Weight of similar properties or not, from branch 2.
    """

    model_config = _SECTION

    alpha: NonNegativeFloat = Field(default=10.0, description="a number from 0")
    regression: Literal["l1", "smooth_l1"] = Field(default="l1", description="l1 or smooth_l1")
    beta: float = Field(default=0.02, gt=0, description="a number above 0")
    siamese: NonNegativeFloat = Field(default=1.0, description="a number from 0")
    fused: NonNegativeFloat = Field(default=1.0, description="a number from 0")
    metadata: NonNegativeFloat = Field(default=1.0, description="a number from 0")

    @model_validator(mode="after")
    def _something(self) -> LossConfig:
        if not any((self.alpha, self.siamese, self.fused, self.metadata)):
            raise ValueError("alpha, siamese, fused and metadata are all 0: nothing to learn")
        return self


class OptimiserConfig(BaseModel):
    """AdamW (docs/design.md D10).

    Attributes:
        lr: Learning rate after warming up.
        weight_decay: Decoupled weight decay.
        amsgrad: Whether the largest second moment so far is kept.
    """

    model_config = _SECTION

    lr: float = Field(default=1e-4, gt=0, description="a number above 0")
    weight_decay: NonNegativeFloat = Field(default=1e-5, description="a number from 0")
    amsgrad: bool = Field(default=True, description="true or false")


class ScheduleConfig(BaseModel):
    """How long, and at which learning rate.

    Attributes:
        epochs: Epochs, at most.
        warmup: Epochs in which the learning rate rises to its full value; may be a fraction.
        decay: ``cosine`` falls to 0 at the last epoch, ``constant`` stays.
        patience: Epochs without a better validation mAP after which training stops; nothing for
            never.
        validate_every: Epochs from one validation to the next.
    """

    model_config = _SECTION

    epochs: PositiveInt = Field(default=100, description="a whole number from 1")
    warmup: NonNegativeFloat = Field(default=1.0, description="epochs, from 0")
    decay: Literal["cosine", "constant"] = Field(default="cosine", description="cosine or constant")
    patience: PositiveInt | None = Field(
        default=None, description="epochs, a whole number from 1, or nothing"
    )
    validate_every: PositiveInt = Field(default=1, description="epochs, a whole number from 1")

    @model_validator(mode="after")
    def _warm_in_time(self) -> ScheduleConfig:
        if self.warmup > self.epochs:
            raise ValueError(f"warmup of {self.warmup:g} epochs is longer than all {self.epochs}")
        return self


class RunConfig(BaseModel):
    """How the run is carried out.

    Attributes:
        seed: Of batches, flips and new weights.
        precision: ``auto`` takes bf16 where the hardware gains by it.
        compile: Whether the network is compiled first.
        workers: Processes that decode scans for the cache; nothing for one per CPU.
        clip: Largest norm of the gradient; nothing for no limit. A DSNN's norms are 10 to 60 when
            all is well: the limit is for explosions.
        checkpoint_every: Epochs from one checkpoint to the next.
        freeze_batchnorm: Whether batch norm keeps the statistics that it starts with.
    """

    model_config = _SECTION

    seed: NonNegativeInt = Field(default=0, description="a whole number from 0")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="auto, fp32, bf16 or fp16"
    )
    compile: bool = Field(default=False, description="true or false")
    workers: PositiveInt | None = Field(
        default=None, description="a whole number from 1, or nothing"
    )
    clip: float | None = Field(default=100.0, gt=0, description="a number above 0, or nothing")
    checkpoint_every: PositiveInt = Field(default=1, description="epochs, a whole number from 1")
    freeze_batchnorm: bool = Field(default=False, description="true or false")


class TrainConfig(BaseModel):
    """All of it; every value has a default but the place of the data.

    Attributes:
        data: What to train on.
        split: How it is divided.
        model: What is trained.
        pairs: How pairs are made.
        loss: What is minimised.
        optimiser: How.
        schedule: How long.
        run: How the run is carried out.
    """

    model_config = _SECTION

    data: DataConfig = DataConfig()
    split: SplitConfig = SplitConfig()
    model: ModelConfig = ModelConfig()
    pairs: PairsConfig = PairsConfig()
    loss: LossConfig = LossConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    run: RunConfig = RunConfig()

    def preprocessing(
        self,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> Preprocessing:
        """From scans to batches, for the cache and the bundle.

        Args:
            mean: Mean of each channel of the training set (`slice_set.channel_statistics`).
            std: Its standard deviation.
        """
        return Preprocessing(
            size=self.model.size,
            mean=mean,
            std=std,
            window=self.data.window,
            slicing=self.data.slicing,
        )


def load_config(source: Path | dict[str, Any] | None, overrides: Iterable[str] = ()) -> TrainConfig:
    """Read a run's settings.

    Args:
        source: TOML file, or settings by section and name; None for the defaults.
        overrides: ``section.name=value``, each stronger than the file. The value is read as TOML
            is, or else as text, where text is wanted in any case; ``none`` unsets what may be
            nothing.

    Raises:
        ConfigError: The file can't be read, or settings are wrong: every one is told.
    """
    values = _read(source) if isinstance(source, Path) else deepcopy(source or {})
    problems = [problem for text in overrides if (problem := _override(values, text)) is not None]
    try:
        config = TrainConfig.model_validate(values)
    except ValidationError as error:
        problems += [_told(problem) for problem in error.errors()]
    else:
        if not problems:
            return config
    where = source if isinstance(source, Path) else "settings of the run"
    raise ConfigError(f"{where}: {'; '.join(problems)}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: can't be read ({error.strerror}); name a TOML file such as "
            "configs/cpu_small.toml"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no TOML ({error}); correct it") from error


def _override(values: dict[str, Any], text: str) -> str | None:
    """Set one value in place; return what is wrong with the text, if anything is."""
    name, equals, value = text.partition("=")
    section, dot, field = name.strip().partition(".")
    if not (equals and dot and section and field):
        return f"override {text!r}: expected section.name=value, such as optimiser.lr=1e-4"
    inner = values.setdefault(section, {})
    if not isinstance(inner, dict):
        return f"override {text!r}: {section} is no section"
    known = _fields_of(section).get(field)
    can_be_unset = known is not None and type(None) in get_args(known.annotation)
    is_unset = can_be_unset and value.strip().casefold() == "none"
    inner[field] = None if is_unset else _value(value.strip(), known)
    return None


def _fields_of(section: str) -> Mapping[str, FieldInfo]:
    """Return the settings of a section; none where there is no such section."""
    field = TrainConfig.model_fields.get(section)
    return {} if field is None else getattr(field.annotation, "model_fields", {})


def _value(text: str, known: FieldInfo | None) -> Any:  # noqa: ANN401  its type is checked later
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    is_text = known is not None and known.annotation in (str, UserPath | None)
    return text if is_text and not isinstance(value, str) else value  # a folder named 2024


def _told(problem: ErrorDetails) -> str:
    """One fault in words: what was found, and what is allowed."""
    path = [str(part) for part in problem["loc"]]
    name = ".".join(path)
    known = _fields_of(path[0])
    if problem["type"] == "extra_forbidden":
        names = known or TrainConfig.model_fields
        return f"{name}: no such setting; known are {', '.join(names)}"
    if problem["type"] == "value_error":
        return f"{name}: {problem['ctx']['error']}"
    field = known.get(path[1]) if len(path) > 1 else None
    allowed = "a section" if field is None else field.description
    return f"{name}: found {problem['input']!r}, allowed: {allowed}"
