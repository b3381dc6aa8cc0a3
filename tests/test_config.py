from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from encoder.slicing import Slicing
from trainer.config import ConfigError, TrainConfig, load_config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_settings_are_valid(path: Path) -> None:
    assert load_config(path).model.encoder


def test_the_paper_and_a_small_start_are_shipped() -> None:
    """Shim et al. 2023: 1000 epochs at 1e-5 for micro-CT, 600 at 1e-4 for thin sections."""
    assert [path.stem for path in CONFIGS] == ["cpu_small", "microct_paper", "thinsection_paper"]
    micro, thin = (
        load_config(ROOT / f"configs/{name}_paper.toml") for name in ("microct", "thinsection")
    )
    for config, lr, epochs in ((micro, 1e-5, 1000), (thin, 1e-4, 600)):
        assert (config.optimiser.lr, config.schedule.epochs) == (lr, epochs)
        assert (config.pairs.strategy, config.pairs.pairs_per_batch) == ("random", 1024)
        assert (config.loss.alpha, config.loss.regression) == (10, "l1")
        assert config.model.init == "imagenet"
    assert (micro.data.planes, thin.data.tiles) == (90, 60)
    assert load_config(ROOT / "configs/cpu_small.toml").model.init.startswith("seed:")


def test_overrides_are_stronger_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[optimiser]\nlr = 1.0\namsgrad = false\n[schedule]\npatience = 3\n")
    told = [
        "optimiser.lr=1e-4",
        "schedule.patience=none",
        "data.path=/rocks/E 1",
        "model.init=seed:3",
    ]
    config = load_config(path, told)
    assert (config.optimiser.lr, config.optimiser.amsgrad) == (1e-4, False)
    assert config.schedule.patience is None
    assert config.data.path == Path("/rocks/E 1")
    assert config.model.init == "seed:3"


def test_home_is_understood_in_paths() -> None:
    assert load_config(None, ["data.path=~/rocks"]).data.path == Path.home() / "rocks"


@pytest.mark.parametrize("name", ["2024", "1e3", "true", "2024-05-01", "[1]", '"2024"'])
def test_folders_may_be_named_like_values(name: str) -> None:
    config = load_config(None, [f"data.path={name}", f"data.cache={name}", f"model.init={name}"])
    plain = name.strip('"')
    assert (config.data.path, config.data.cache) == (Path(plain), Path(plain))
    assert config.model.init == plain


@pytest.mark.parametrize("text", ["", "  ", '""'])
def test_an_empty_path_is_not_the_working_folder(text: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.path: found nothing, allowed: a folder's path"):
        load_config(None, [f"data.path={text}"])
    assert load_config(None, ["data.path=."]).data.path == Path()


def test_preprocessing_is_what_the_settings_say() -> None:
    told = ["data.planes=7", "data.margin=0", "data.window=none", "model.size=64"]
    made = load_config(None, told).preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert made.slicing == Slicing(planes=7, margin=0)
    assert (made.size, made.window) == (64, "none")
    assert (made.mean, made.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        "[split]\ntrain = 0.9\n[schedule]\nwarmup = 1000\n[pairs]\nstrategy = 'all'\n[loss]\n"
        "alpha = 0\nsiamese = 0\nfused = 0\nmetadata = 0\n[models]\nsize = 3\n"
    )
    told = ["optimiser.lr=-1", "data.label=reservoir", "data.sise=3", "lr=3", "run.clip=nan"]
    with pytest.raises(ConfigError) as caught:
        load_config(path, told)
    message = str(caught.value)
    for part in (
        str(path),
        "override 'lr=3': expected section.name=value",
        "data.label: found 'reservoir', allowed: sample or class",
        "data.sise: no such setting; known are source, path",
        "split: train 0.9, val 0.1 and test 0.2 must add up to 1",
        "pairs.strategy: found 'all', allowed: in-batch or random",
        "loss: alpha, siamese, fused and metadata are all 0",
        "optimiser.lr: found -1, allowed: a number above 0",
        "schedule: warmup of 1000 epochs is longer than all 100",
        "run.clip: found nan, allowed: a number above 0, or nothing",
        "models: no such setting; known are data, split, model",
    ):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "can't be read"),
        (b"[data", "no TOML"),
        (b"\xff", "no TOML"),
        (b"data = 3", "data: found 3"),
    ],
)
def test_files_that_are_no_settings_are_refused(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "run.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        load_config(path, ["data.label=class"] if content == b"data = 3" else [])


def test_settings_survive_json() -> None:
    config = load_config(ROOT / "configs/microct_paper.toml", ["data.path=rocks"])
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


def test_settings_are_read_without_torch() -> None:
    """A command tells that its settings are wrong before it loads what takes seconds."""
    script = "import sys, trainer.config; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)  # noqa: S603  our own interpreter
    assert done.returncode == 0


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    page = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    text = page.partition("\n## Settings\n")[2]
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    expected = []
    for section, values in TrainConfig():
        for name, field in type(values).model_fields.items():
            default = getattr(values, name)
            told = "none" if default is None else f"`{str(default).lower()}`"
            expected.append((f"{section}.{name}", told, field.description))
    assert rows == expected
