"""Which files a command reads, which library they belong to, and what its tables tell."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from encoder.commands.collect import ScanFiles, collect_scans, library_root
from encoder.commands.reading import Libraries
from encoder.errors import LithoscopeError
from encoder.metadata.problems import MetadataError

NOBODY = 65534


def tree(folder: Path, *names: str) -> Path:
    """Make empty files; nothing here reads a scan."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def names_of(files: ScanFiles) -> list[str]:
    return [str(file.path) for file in files]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tree(tmp_path / "lib", "E1/S1/a.png", "E1/S2/a.png", "E2/S1/b.png")
    text = "Image,Porosity\nE1/S1/a.png,0.1\nE1/S2/a.png,0.2\n"
    (folder / "metadata.csv").write_text(text, encoding="utf-8")
    (folder / "E1" / "metadata.csv").write_text("Image,k_md\nS1/a.png,7\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("named", [".", "E1", "E1/S1", "E1/S1/a.png"])
def test_a_scan_has_the_same_metadata_however_it_is_reached(library: Path, named: str) -> None:
    files = collect_scans([library / named])
    [file] = [file for file in files if file.path.match("S1/a.png")]
    libraries = Libraries.of(files)
    found = libraries.resolve(file)
    assert file.root == library
    assert found.object_key == "E1/S1/a.png"
    assert (found.properties.porosity, found.properties.permeability_md) == (0.1, 7.0)


def test_without_a_table_names_count_from_what_was_named(tmp_path: Path) -> None:
    tree(tmp_path, "lib/E1/S1/a.png")
    [file] = collect_scans([tmp_path / "lib"])
    assert file.inside == Path("E1/S1/a.png")
    [file] = collect_scans([tmp_path / "lib/E1/S1/a.png"])
    assert file.inside == Path("a.png")
    [file] = collect_scans([tmp_path / "lib/E1/S1/a.png"], library=tmp_path / "lib")
    assert (file.root, file.inside) == (tmp_path / "lib", Path("E1/S1/a.png"))


def test_a_given_library_holds_all_paths(library: Path) -> None:
    tree(library.parent, "other/c.png")
    with pytest.raises(LithoscopeError, match=r"c\.png is outside the library"):
        collect_scans([library.parent / "other/c.png"], library=library)
    with pytest.raises(LithoscopeError, match="is not a folder"):
        collect_scans([library], library=library / "nowhere")


def test_a_given_library_may_be_a_link(library: Path) -> None:
    link = library.parent / "link"
    link.symlink_to(library)
    [file] = collect_scans([library / "E2/S1/b.png"], library=link)
    assert file.inside == Path("E2/S1/b.png")


def test_a_file_is_read_once_however_its_folder_is_named(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(library)
    paths = ["E1", str(library / "E1"), "E1/../E1/S1/a.png", "E2/../E1", "."]
    files = collect_scans(map(Path, paths))
    assert names_of(files) == ["E1/S1/a.png", "E1/S2/a.png", "E2/S1/b.png"]


def test_parent_folders_in_a_path_are_resolved(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(library.parent, "photos/b.png")
    monkeypatch.chdir(library / "E1")
    files = collect_scans([Path("../../photos/b.png"), Path("../E2/S1/b.png"), Path("..")])
    assert [(file.root.name, str(file.inside)) for file in files] == [
        ("photos", "b.png"),
        ("lib", "E2/S1/b.png"),
        ("lib", "E1/S1/a.png"),
        ("lib", "E1/S2/a.png"),
    ]
    libraries = Libraries.of(files)
    assert libraries.resolve(files[0]).object_key == "b.png"
    assert libraries.resolve(files[1]).reservoir == "E2"


def test_links_are_told_or_taken_never_dropped(library: Path) -> None:
    (library / "E1/S1/gone.png").symlink_to(library / "nowhere.png")
    (library / "E1/S1/alias.png").symlink_to(library / "E1/S1/a.png")
    (library / "E3").symlink_to(library / "E2")
    files = collect_scans([library])
    assert [str(file.inside) for file in files] == [
        *("E1/S1/a.png", "E1/S1/alias.png", "E1/S1/gone.png", "E1/S2/a.png"),
        *("E2/S1/b.png", "E3"),
    ]
    problems = [file.problem for file in files if file.problem]
    assert len(problems) == 1
    assert "link to a folder" in problems[0]
    assert Libraries.of(files).resolve(files[-1]).values() == {}


def test_files_that_are_passed_over_are_counted(library: Path) -> None:
    tree(library, "readme.txt", "E1/S1/a.xyz", "E1/.hidden", ".trash/c.png", ".trash/c.txt")
    files = collect_scans([library])
    assert len(files) == 3
    assert files.notes == [f"{library}: 2 files are not named like a scan: passed over"]
    assert collect_scans([library / "E2"]).notes == []


def test_an_empty_folder_has_one_problem(tmp_path: Path) -> None:
    [file] = files = collect_scans([tmp_path])
    assert (file.path, file.problem) == (tmp_path, "no scan found in it")
    assert Libraries.of(files).resolve(file).values() == {}


@pytest.mark.parametrize("name", ["x" * 300, f"{'x' * 300}/a.png", "nowhere.png", "a/b/c.png"])
def test_paths_that_are_none_are_left_to_their_reader(tmp_path: Path, name: str) -> None:
    [file] = files = collect_scans([tmp_path / name])
    libraries = Libraries.of(files)
    assert (file.path, file.problem, libraries.problems) == (tmp_path / name, None, [])
    libraries.resolve(file)


AS_NOBODY = """
import os, sys
from pathlib import Path
from encoder.commands.collect import collect_scans
from encoder.commands.reading import Libraries
import encoder.metadata.index
os.setgid({user}); os.setuid({user})
files = collect_scans(map(Path, sys.argv[1:]))
libraries = Libraries.of(files)
for file in files:
    libraries.resolve(file)
    print(file.inside, file.problem)
print(*libraries.problems, sep="\\n")
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user")
def test_folders_without_permission_are_told() -> None:
    """As another user, since root may enter everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = tree(Path(name), "lib/secret/a.png", "lib/blind/b.png", "lib/c.png")
        modes = {"lib/secret": 0o600, "lib/blind": 0o711, "lib": 0o755, ".": 0o711}
        for inside, mode in modes.items():
            (folder / inside).chmod(mode)
        paths = [folder / "lib", folder / "lib/secret/a.png", folder / "lib/blind/b.png"]
        done = subprocess.run(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-c", AS_NOBODY.format(user=NOBODY), *map(str, paths)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        )
    assert done.stderr == ""
    told = done.stdout.splitlines()
    refused = "the folder can't be read (Permission denied); check its permissions"
    assert told[:3] == [f"blind {refused}", "c.png None", f"secret {refused}"]
    assert told[3:5] == ["a.png None", "b.png None"]
    assert len(told[5:]) == 2
    assert all("Permission denied" in line for line in told[5:])


def test_only_tables_between_the_library_and_a_scan_are_read(library: Path) -> None:
    """A wrong table elsewhere once blocked every scan of a home folder."""
    wrong = "Image,Porosity\nx.png,20\n"
    for folder in ("E2", "E9/deep", ".hidden"):
        (library / folder).mkdir(parents=True, exist_ok=True)
        (library / folder / "metadata.csv").write_text(wrong, encoding="utf-8")
    files = collect_scans([library / "E1/S1/a.png"])
    libraries = Libraries.of(files)
    assert libraries.problems == []
    assert libraries.resolve(files[0], strict=True).properties.permeability_md == 7.0
    assert Libraries.of(collect_scans([library])).problems != []


def test_a_wrong_table_refuses_the_scans_of_its_library_only(library: Path) -> None:
    tree(library.parent, "other/c.png")
    (library / "metadata.csv").write_text("Image,Porosity\nx.png,20\n", encoding="utf-8")
    files = collect_scans([library / "E1/S1/a.png", library.parent / "other/c.png"])
    libraries = Libraries.of(files)
    assert libraries.broken == {library}
    assert libraries.problems[0].startswith(f"{library}/metadata.csv row 2")
    with pytest.raises(MetadataError, match="wrong metadata tables"):
        libraries.resolve(files[0], strict=True)
    assert libraries.resolve(files[0]).reservoir == "E1"
    assert libraries.resolve(files[1], strict=True).object_key == "c.png"


def test_a_bare_name_is_held_against_the_whole_library(library: Path) -> None:
    (library / "metadata.csv").write_text("Image,Porosity\na.png,0.1\nb.png,0.2\n")
    files = collect_scans([library / "E1/S1/a.png", library / "E2/S1/b.png"])
    libraries = Libraries.of(files)
    with pytest.raises(MetadataError, match=r"E1/S1/a\.png and E1/S2/a\.png"):
        libraries.resolve(files[0])
    assert libraries.resolve(files[1]).properties.porosity == 0.2


def test_many_files_of_few_folders_are_collected_quickly(tmp_path: Path) -> None:
    """Looking for tables above each of 3,000 files took 16 seconds."""
    names = [f"S1/{number:05}.png" for number in range(3000)]
    tree(tmp_path, *names)
    tree(tmp_path, *(f"S1/{number}.txt" for number in range(3000)))
    start = time.process_time()
    seen = collect_scans([tmp_path / name for name in names])
    assert len(seen) == 3000
    assert time.process_time() - start < 5
    assert library_root(tmp_path / names[0]) == tmp_path / "S1"
