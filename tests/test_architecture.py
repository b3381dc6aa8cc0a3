"""The house rules that a reader relies on: floors, sizes, documented names, a quick front door."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS: dict[str, set[str]] = {
    "encoder": set(),
    "infra": {"encoder"},
    "trainer": {"encoder", "infra"},
    "ingest_worker": {"encoder", "infra"},
    "search_ui": {"encoder", "infra"},
    "lithoscope": {"encoder", "infra", "trainer", "ingest_worker", "search_ui"},
}
PARAMETERS_MAX = 6
POSITIONAL_MAX = 2

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[Path]:
    return sorted(
        path
        for floor in FLOORS
        for path in [*ROOT.glob(f"{floor}/**/*.py"), *ROOT.glob(f"{floor}.py")]
    )


def floor_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def functions(path: Path) -> list[Function]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def code_lines(function: Function, lines: list[str]) -> int:
    """Lines of the body that hold code: no docstring, comment or blank line."""
    body = function.body
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    if not body:
        return 0
    span = lines[body[0].lineno - 1 : body[-1].end_lineno]
    return sum(1 for line in span if line.strip() and not line.strip().startswith("#"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down_only(path: Path) -> None:
    floor = floor_of(path)
    ours = {name.split(".")[0] for name in imported_modules(path)} & FLOORS.keys()
    assert ours <= FLOORS[floor] | {floor}, f"{path} imports a floor that it must not know"


def test_no_import_circle() -> None:
    names = {
        str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__"): (
            path
        )
        for path in sources()
    }
    graph = {name: (imported_modules(path) & names.keys()) - {name} for name, path in names.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for below in graph[name]:
                visit(below, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_files_are_short() -> None:
    beside = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
    sizes = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in (*sources(), *beside)
    }
    too_long = {str(path): size for path, size in sizes.items() if size > 400}
    assert not too_long
    assert statistics.median(sizes[path] for path in sources()) <= 160


def test_functions_are_short() -> None:
    sizes: dict[str, int] = {}
    for path in sources():
        lines = path.read_text(encoding="utf-8").splitlines()
        for function in functions(path):
            sizes[f"{path.name}:{function.name}"] = code_lines(function, lines)
    assert not {name: size for name, size in sizes.items() if size > 60}
    assert statistics.median(sizes.values()) <= 12


def is_command(function: Function) -> bool:
    """A command line's options are its user's parameters, not a caller's."""
    return any(
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr in {"command", "callback"}
        for decorator in function.decorator_list
    )


def test_functions_take_few_parameters() -> None:
    wrong = []
    for path in sources():
        for function in functions(path):
            if is_command(function) or function.name == "__exit__":  # Python names its arguments
                continue
            positional = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
            positional = [name for name in positional if name not in {"self", "cls"}]
            count = len(positional) + len(function.args.kwonlyargs)
            if len(positional) > POSITIONAL_MAX or count > PARAMETERS_MAX:
                wrong.append(f"{path.name}:{function.lineno} {function.name}")
    assert wrong == []


def test_encoder_opens_no_socket() -> None:
    """Importing all of the core, and encoding with it, must not touch the network."""
    script = """
import importlib, pkgutil, sys
def watch(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(watch)
import encoder
for module in pkgutil.walk_packages(encoder.__path__, "encoder."):
    importlib.import_module(module.name)
import torch
from encoder.encoders import build_encoder
build_encoder("resnet18-imagenet", "seed:0").encode(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
"""
    done = subprocess.run(  # noqa: S603  our own interpreter on our own script
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_help_answers_at_once() -> None:
    """It loads what prints it and nothing of the libraries behind commands, which take seconds."""
    loaded = packages(
        "import runpy; sys.argv[1:] = ['--help']; "
        "runpy.run_module('lithoscope', run_name='__main__')"
    )
    light = {"typer", "rich", "pygments", "markdown_it", "mdurl", "shellingham", "annotated_doc"}
    for_rich = {"attr"}  # rich loads it where it is installed
    assert "typer" in loaded
    ours_or_pythons = packages("pass") | set(sys.stdlib_module_names) | set(FLOORS)
    assert loaded - ours_or_pythons <= light | for_rich


def packages(code: str) -> set[str]:
    """What a fresh Python has loaded in the end; some load theirs at every start."""
    told = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
    command = [sys.executable, "-c", f"{told}; {code}"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603  our own interpreter
    return {name.partition(".")[0] for name in done.stderr.split() if not name.startswith("__")}
