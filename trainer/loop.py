"""One process's part of a run: steps, epochs, validation, and what is kept to go on from.

Shapes: N images of a whole batch, W processes.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from encoder.backbones import ResNetTrunk
from encoder.inference import EncodingSession
from encoder.neural_encoder import standardise
from encoder.precision import working_dtype
from trainer.batches import BatchPlan, BatchReader
from trainer.checkpoints import (
    Checkpoint,
    RunState,
    optimiser_state,
    restore_optimiser,
    sampler_state,
)
from trainer.finite import check_finite, check_weights
from trainer.losses import LossTerms
from trainer.pair_step import BatchTargets, PairStep, all_pairs, sides, trainable
from trainer.preparation import freeze_statistics, scaled_targets
from trainer.processes import mean_over, told_by_first
from trainer.provenance import data_fingerprint
from trainer.run_log import StepReport, Validation
from trainer.schedule import best_validation, learning_rate
from trainer.validation import validation_map

if TYPE_CHECKING:
    from collections.abc import Iterator

    from encoder.neural_encoder import NeuralEncoder
    from trainer.batches import Batch
    from trainer.config import TrainConfig
    from trainer.pair_step import Place
    from trainer.slice_set import SliceSet
    from trainer.splits import Split

_SKIPPED_MAX = 50
"""Steps in a row that fp16 may pass over: halved as often, the scale of gradients is nothing."""

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What is to be done, the same in every process.

    Attributes:
        config: Settings of the run.
        slices: All slices.
        split: Which of them are which.
        encoder: What is trained, as it begins.
        device: Where.
        place: Which process this is.
    """

    config: TrainConfig
    slices: SliceSet
    split: Split
    encoder: NeuralEncoder
    device: torch.device
    place: Place


class Loop:
    """A run in progress.

    Attributes:
        epoch: Epochs that are done.
        step: Steps that are done.
        final_loss: Mean loss of the last epoch; NaN before the first.
        seconds: Time that the run took so far, interruptions left out.
        validations: What was measured so far.
        precision: What backbones compute in.
    """

    def __init__(self, task: Task, *, precision: str | None = None) -> None:
        """Prepare the first step.

        Args:
            task: What is to be done.
            precision: What backbones compute in; None to decide by the settings and the hardware.

        Raises:
            LithoscopeError: The settings don't fit the slices, or the number of processes.
        """
        config = task.config
        self.epoch = self.step = 0
        self.final_loss = float("nan")
        self.seconds = 0.0
        self.validations: tuple[Validation, ...] = ()
        self._task = task
        self._plan = BatchPlan(
            task.slices, task.split.train, pairs=config.pairs, seed=config.run.seed
        )
        self._reader = BatchReader(
            task.slices, self._plan, place=task.place, flips=config.data.flips
        )
        self.precision = precision or _decide_precision(task)
        self._dtype = _PRECISIONS[self.precision]
        self._model = trainable(task.encoder.model)
        self._model.to(task.device).to(memory_format=torch.channels_last)
        self._step_module = self._wrapped()
        self._parameters = list(self._model.parameters())
        self._optimiser = torch.optim.AdamW(
            self._parameters,
            lr=config.optimiser.lr,
            weight_decay=config.optimiser.weight_decay,
            amsgrad=config.optimiser.amsgrad,
            fused=True,
        )
        self._scaler = torch.amp.GradScaler(task.device.type, enabled=self._dtype == torch.float16)
        self._known = _Known(task, scaled_targets(self._model, task.slices))
        self._best: dict[str, torch.Tensor] | None = None
        self._skipped = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return len(self._plan)

    def run_epoch(self) -> Iterator[StepReport]:
        """Make the steps of the next epoch.

        Yields:
            What each step gave. The epoch counts as done when all were taken.

        Raises:
            TrainingError: A loss, gradient or weight is not finite.
        """
        self._model.train()
        if self._task.config.run.freeze_batchnorm:
            freeze_statistics(self._model)
        losses = []
        before = time.perf_counter()
        for batch in self._reader.epoch(self.epoch):
            rate = learning_rate(self._task.config, self.step, steps_per_epoch=self.steps_per_epoch)
            self.step += 1
            values = self._make_step(batch, rate)
            before, took = time.perf_counter(), time.perf_counter() - before
            self.seconds += took
            losses.append(values["total"])
            yield StepReport(
                step=self.step,
                epoch=self.epoch + 1,
                learning_rate=rate,
                images_per_second=len(batch.indices) / took,
                seconds=self.seconds,
                **values,
            )
        check_weights(self._model, step=self.step)
        self.epoch += 1
        self.final_loss = sum(losses) / len(losses)

    def validate(self) -> Validation:
        """Measure the network on the validation slices: in the first process, for all."""
        task = self._task
        began = time.perf_counter()
        found = float("nan")
        if not task.place.rank and len(task.split.val):
            session = EncodingSession(
                task.encoder,
                device=task.device,
                precision="bf16" if self.precision == "bf16" else "fp32",
            )
            found = validation_map(session, task.slices, split=task.split)
        found = told_by_first(found, task.place)
        self.seconds += time.perf_counter() - began
        validation = Validation(
            step=self.step, epoch=self.epoch, map_at_10=found, seconds=self.seconds
        )
        self.validations = (*self.validations, validation)
        if best_validation(self.validations) is validation:
            self._best = self._weights()
        return validation

    def best_weights(self) -> dict[str, torch.Tensor]:
        """Return the weights of the best epoch; the present ones where none could be measured."""
        return self._weights() if self._best is None else self._best

    def checkpoint(self) -> Checkpoint:
        """Return all that is needed to go on from here."""
        state = RunState(
            epoch=self.epoch,
            step=self.step,
            final_loss=self.final_loss,
            seconds=self.seconds,
            precision=self.precision,
            scaler=self._scaler.state_dict(),
            sampler=cast("dict[str, int]", self._plan.sampler.state_dict()),
            validations=self.validations,
            config=self._task.config.model_dump_json(),
            data=data_fingerprint(self._task.slices),
        )
        return Checkpoint(
            state=state,
            model=self._model.state_dict(),
            optimiser=optimiser_state(self._optimiser),
            best=self.best_weights(),
        )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same run.

        Raises:
            SamplingError: That run made other batches.
        """
        state = checkpoint.state
        self._plan.sampler.load_state_dict(sampler_state(state))
        self._model.load_state_dict(checkpoint.model)
        restore_optimiser(self._optimiser, checkpoint.optimiser)
        if state.scaler:
            self._scaler.load_state_dict(state.scaler)
        self.epoch, self.step, self.seconds = state.epoch, state.step, state.seconds
        self.final_loss, self.validations = state.final_loss, state.validations
        if best_validation(state.validations) is not None:
            self._best = dict(checkpoint.best)

    def _make_step(self, batch: Batch, rate: float) -> dict[str, float]:
        """Change the network by one batch; return the loss's terms and the gradient's norm."""
        task = self._task
        images = standardise(
            batch.pixels.to(task.device, non_blocking=True), task.encoder.preprocessing
        )
        targets = self._known.targets(batch)
        terms: LossTerms = self._step_module(images, targets, autocast=self._dtype)
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(terms.total).backward()  # type: ignore[no-untyped-call]  # torch's own
        self._scaler.unscale_(self._optimiser)
        norm = nn.utils.clip_grad_norm_(
            self._parameters, torch.inf if task.config.run.clip is None else task.config.run.clip
        )
        mean = mean_over(torch.stack(terms).detach(), task.place)
        numbers = torch.cat([mean, norm.reshape(1)]).tolist()  # the only wait for the device
        values = dict(zip((*LossTerms._fields, "gradient_norm"), numbers, strict=True))
        # In fp16 gradients overflow now and then: the scaler passes over such steps.
        self._check(values, batch, scaled=targets.scaled)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return values

    def _check(self, values: dict[str, float], batch: Batch, *, scaled: torch.Tensor) -> None:
        checked = dict(values)
        if self._scaler.is_enabled():
            self._skipped = 0 if math.isfinite(values["gradient_norm"]) else self._skipped + 1
            if self._skipped <= _SKIPPED_MAX:
                del checked["gradient_norm"]
        check_finite(
            checked,
            self._task.slices,
            indices=batch.indices,
            scaled=scaled,
            step=self.step,
            epoch=self.epoch + 1,
        )

    def _wrapped(self) -> nn.Module:
        task = self._task
        if task.config.run.compile:
            for module in self._model.modules():
                if isinstance(module, ResNetTrunk):
                    module.compile()
        if task.place.world == 1:
            return PairStep(self._model, task.config.loss, place=task.place)
        on_gpu = task.device.type == "cuda"
        if on_gpu and not task.config.run.freeze_batchnorm:
            nn.SyncBatchNorm.convert_sync_batchnorm(self._model)  # type: ignore[no-untyped-call]  # torch's own
        return DistributedDataParallel(
            PairStep(self._model, task.config.loss, place=task.place),
            device_ids=[task.device.index] if on_gpu else None,
            gradient_as_bucket_view=True,
        )

    def _weights(self) -> dict[str, torch.Tensor]:
        return {
            name: tensor.detach().to("cpu", copy=True)
            for name, tensor in self._model.state_dict().items()
        }


class _Known:
    """What is known of all slices, on the device."""

    def __init__(self, task: Task, scaled: torch.Tensor) -> None:
        slices = task.slices
        self._labels, self._porosity, self._permeability = (
            torch.from_numpy(values).to(task.device)
            for values in (slices.label, slices.porosity, slices.permeability_md)
        )
        self._scaled = scaled.to(task.device)
        self._balanced = task.config.pairs.strategy == "in-batch"
        number = task.config.pairs.images_per_batch
        self._cpu_pairs = all_pairs(number) if self._balanced else sides(number // 2)
        self._pairs = self._cpu_pairs.to(task.device)

    def targets(self, batch: Batch) -> BatchTargets:
        rows = torch.from_numpy(batch.indices).to(self._labels.device)
        return BatchTargets(
            labels=self._labels[rows],
            porosity=self._porosity[rows],
            permeability_md=self._permeability[rows],
            scaled=self._scaled[rows],
            pairs=self._pairs_of(batch),
            balanced=self._balanced,
        )

    def _pairs_of(self, batch: Batch) -> torch.Tensor:
        """Pairs of different slices: a sample of few may give one of them twice, which is no pair.

        They are counted on the CPU: to count them on the device would be to wait for it.
        """
        if len(np.unique(batch.indices)) == len(batch.indices):
            return self._pairs
        first, second = torch.from_numpy(batch.indices)[self._cpu_pairs]
        pairs = self._cpu_pairs[:, first != second]
        if self._pairs.is_cuda:
            pairs = pairs.pin_memory()
        return pairs.to(self._pairs.device, non_blocking=True)


def _decide_precision(task: Task) -> str:
    """Decide in the first process, for all: another one might measure otherwise."""
    wanted = task.config.run.precision
    if wanted != "auto":
        return wanted
    gains = working_dtype("auto", task.device) == torch.bfloat16
    return told_by_first("bf16" if gains else "fp32", task.place)
