"""Collecting: folders and zips of learning platforms, whatever students make of names."""

import json
import os
import zipfile
from dataclasses import asdict

import pytest
from handed_in import SOURCE, add, notebook

from s2kit.errors import InvalidInputError
from tools.grading import collect as module
from tools.grading.collect import collect, collected, collected_since, safe_name
from tools.grading.exercise import read_exercise

FILE = "03_ndvi_statistics.ipynb"


@pytest.fixture(scope="module")
def exercises():
    """Return the exercises that are known."""
    return [read_exercise(path) for path in sorted(SOURCE.parent.glob("*.ipynb"))]


@pytest.fixture
def gather(tmp_path, exercises):
    """Return a function that makes a zip of names and contents, and collects it by ids."""

    def run(files, years=()):
        with zipfile.ZipFile(tmp_path / "class.zip", "w") as archive:
            for number, (name, content) in enumerate(files.items()):
                add(archive, name, content, [*years, *[2026] * len(files)][number])
        _, found, _ = collect(tmp_path / "class.zip", exercises, tmp_path / "build")
        return {one.id: one for one in found}

    return run


def test_moodle_and_canvas_name_their_students(gather):
    """Ids are those of the platform; accents stay, and late files of Canvas count."""
    found = gather(
        {
            f"Zoë Ångström_101_assignsubmission_file_/{FILE}": notebook("a"),
            f"Bo_Ek Å_102_assignsubmission_file/{FILE}": notebook("b"),
            f"ekbo_103_9001_{FILE}": notebook("c"),
            f"öst_LATE_104_9002_{FILE}": notebook("d"),
        }
    )
    names = {key: one.name for key, one in found.items()}
    assert names == {"101": "Zoë Ångström", "102": "Bo_Ek Å", "103": "ekbo", "104": "öst"}
    assert [one.refused for one in found.values()] == [""] * 4


def test_names_without_a_flag_are_utf_8():
    """A zip that does not declare its names' encoding keeps the accents."""
    name = f"Zoë_101_assignsubmission_file_/{FILE}"
    entry = zipfile.ZipInfo(name.encode().decode("cp437"))
    entry.flag_bits = 0
    assert module._decoded(entry) == name


def test_folders_are_named_by_the_student(tmp_path, exercises):
    """In a plain folder the folder's name is the id, or the file's where there is none."""
    for path in (f"s1/{FILE}", "s2/my ndvi (1).ipynb", "s3.ipynb", f"s1/.ipynb_checkpoints/{FILE}"):
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_text(json.dumps(notebook("a")))
    name, found, _ = collect(tmp_path / "in", exercises, tmp_path / "build")
    assert name == "03_ndvi_statistics"
    assert [(one.id, one.refused, one.notes) for one in found] == [
        ("s1", "", []),
        ("s2", "", []),
        ("s3", "", []),
    ]
    assert collected(tmp_path / "build/03_ndvi_statistics/collected") == found


def test_folders_of_students_may_have_folders(tmp_path, exercises):
    """The id is the name of the outermost folder, in which a student may have arranged files."""
    for path in (f"s1/notebooks/{FILE}", f"s2/notebooks/exercises/{FILE}", "s2/data/a.csv"):
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_text(json.dumps(notebook("a")))
    _, found, _ = collect(tmp_path / "in", exercises, tmp_path / "build")
    assert [(one.id, one.refused) for one in found] == [("s1", ""), ("s2", "")]


@pytest.mark.parametrize(
    ("files", "ids"),
    [
        (("class/s1/a.ipynb", "class/s2/my work/a.ipynb", "class/s3/x.pdf"), ["s1", "s2", "s3"]),
        (("class/s1.ipynb", "class/s2.ipynb"), ["s1", "s2"]),
        (("s1/work/a.ipynb", "s1/data/a.csv"), ["s1"]),
        (("A_1_assignsubmission_file_/a.ipynb", "A_1_assignsubmission_file_/b.ipynb"), ["1"]),
    ],
)
def test_one_folder_may_hold_all(gather, tmp_path, exercises, files, ids):
    """A zip of a folder, or a folder of one, has the students in the second row."""
    assert sorted(gather({name: notebook("a") for name in files})) == ids
    for name in files:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(json.dumps(notebook("a")))
    _, found, _ = collect(tmp_path / "in", exercises, tmp_path / "other")
    assert [one.id for one in found] == ids


def test_names_of_an_old_windows_zip(tmp_path, exercises):
    """Names that are not UTF-8, long ones, and halves of characters do not stop a batch."""
    for name in (b"M\xfcller_55_assignsubmission_file_", b"M\xfcller", ("é" * 100).encode()):
        folder = tmp_path / "in" / os.fsdecode(name)
        folder.mkdir(parents=True)
        (folder / "a.ipynb").write_text(json.dumps(notebook("a", days="days = '\ud800'")))
    for _ in range(2):
        _, found, _ = collect(tmp_path / "in", exercises, tmp_path / "build")
        assert [one.id for one in found] == ["55", "Müller", "é" * 100]
        assert found[0].name == "Müller"
        assert json.dumps([asdict(one) for one in found], ensure_ascii=False).encode()
    names = {safe_name(key * 100) for key in "éèê"} | {safe_name("é" * n) for n in (99, 101)}
    assert len(names) == 5 and max(map(len, names)) < 200


def test_an_older_zip_does_not_replace_what_is_newer(gather):
    """The time in the zips decides, not the order in which they are collected."""
    old, new = "A_1_assignsubmission_file_/old.ipynb", "A_1_assignsubmission_file_/new.ipynb"
    gather({new: notebook("a")}, years=[2026])
    assert gather({old: notebook("a")}, years=[2020])["1"].file == "new.ipynb"
    assert gather({old: notebook("a")}, years=[2027])["1"].file == "old.ipynb"


def test_what_is_new_is_counted(tmp_path, exercises):
    """Students whose submission is new or another, now and since a file was written."""
    place, build = tmp_path / "in", tmp_path / "build"
    for name in ("a", "b"):
        (place / name).mkdir(parents=True)
        (place / name / FILE).write_text(json.dumps(notebook(name)))
    assert collect(place, exercises, build)[2] == 2
    assert collect(place, exercises, build)[2] == 0
    folder, graded = build / FILE.removesuffix(".ipynb") / "collected", tmp_path / "grades.json"
    graded.touch()
    assert collected_since(folder, graded) == 0
    (place / "b" / FILE).write_text(json.dumps(notebook("another")))
    assert collect(place, exercises, build)[2] == 1
    assert collected_since(folder, graded) == 1


def test_the_latest_attempt_wins(gather):
    """By the time in the zip, or by Canvas's number of the attempt."""
    found = gather(
        {
            "A_1_assignsubmission_file_/new.ipynb": notebook("new"),
            "A_1_assignsubmission_file_/old.ipynb": notebook("old"),
            "b_2_900_x.ipynb": notebook("b"),
            "b_2_901_x-1.ipynb": notebook("b"),
        },
        years=[2025, 2024],
    )
    assert found["1"].file == "new.ipynb"
    assert found["2"].file == "x-1.ipynb"


def test_a_late_batch_adds_to_what_was_collected(gather):
    """Others stay; a new file replaces the old one, unless only the old one can be graded."""
    handed_in = {f"{name}_{key}_assignsubmission_file_/a.ipynb" for name, key in ("A1", "B2", "C3")}
    gather({place: notebook("a") for place in handed_in})
    late = {
        "B_2_assignsubmission_file_/late.ipynb": notebook("b"),
        "C_3_assignsubmission_file_/late.ipynb": b"{",
        "D_4_assignsubmission_file_/late.ipynb": notebook("d"),
    }
    for _ in range(2):
        found = gather(late)
        files = {key: one.file for key, one in found.items()}
        assert files == {"1": "a.ipynb", "2": "late.ipynb", "3": "a.ipynb", "4": "late.ipynb"}
        assert [one.refused for one in found.values()] == [""] * 4
        assert [len(one.notes) for one in found.values()] == [0, 0, 1, 0]
        assert "a later file was left out: the file is damaged" in found["3"].notes[0]


def test_what_cannot_be_graded_says_why(gather):
    """Each has a reason, and one student's file stops nobody else."""
    other = {"cells": [{"cell_type": "code", "source": "1", "metadata": {}}], "metadata": {}}
    deep = b"[" * 100_000
    found = gather(
        {
            f"A_1_assignsubmission_file_/{FILE}": notebook("a"),
            f"B_2_assignsubmission_file_/{FILE}": b'{"cells": 3}',
            f"C_3_assignsubmission_file_/{FILE}": deep,
            f"D_4_assignsubmission_file_/{FILE}": other,
            "E_5_assignsubmission_file_/essay.pdf": b"%PDF",
            f"F_6_assignsubmission_file_/{FILE}": b'{"cells": [1, null], "metadata": {}}',
        }
    )
    reasons = {key: one.refused for key, one in found.items()}
    assert reasons["1"] == ""
    assert all("damaged" in reasons[key] for key in "236")
    assert "another notebook" in reasons["4"]
    assert "no notebook" in reasons["5"]


def test_hostile_zip_writes_nowhere_else(gather, tmp_path):
    """Names are never used as paths: what is collected lies in the batch's folder alone."""
    before = {path for path in tmp_path.parent.rglob("*") if tmp_path not in path.parents}
    found = gather(
        {
            "../../../evil.ipynb": notebook("a"),
            "..\\..\\worse_7_assignsubmission_file_/x.ipynb": notebook("b"),
            "/root_8_assignsubmission_file_/../x.ipynb": notebook("c"),
            "../..": b"",
        }
    )
    assert len(found) >= 3
    assert {p for p in tmp_path.parent.rglob("*") if tmp_path not in p.parents} == before
    written = [path for path in (tmp_path / "build").rglob("*") if path.is_file()]
    assert {path.parent.name for path in written} == {"collected"}


@pytest.mark.parametrize("text", ["..", ".", "a/b", "Zoë", "../x", "con.txt", ""])
def test_safe_names_stay_in_their_folder(text, tmp_path):
    """A file name made of an id has no separator and no dot."""
    assert not set(safe_name(text)) & set("./\\")


def test_bombs_are_not_unpacked(gather, monkeypatch):
    """A notebook that unpacks to more than the limit is refused; the others are collected."""
    monkeypatch.setattr(module, "LARGEST", 200_000)
    found = gather(
        {
            f"A_1_assignsubmission_file_/{FILE}": notebook("a"),
            f"B_2_assignsubmission_file_/{FILE}": b"0" * 10_000_000,
        }
    )
    assert found["1"].refused == ""
    assert "cannot be read" in found["2"].refused


def test_nothing_to_collect_is_an_error(tmp_path, exercises):
    """An empty folder, a file that is no zip, and a batch without an exercise are said."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "essays/s1").mkdir(parents=True)
    (tmp_path / "essays/s1/essay.pdf").touch()
    (tmp_path / "text.zip").write_text("no zip")
    for place, says in (
        ("empty", "nothing was handed in"),
        ("essays", "no notebook of an exercise .essay.pdf: it is no notebook"),
        ("text.zip", "neither a folder nor a zip"),
        ("missing", "neither a folder nor a zip"),
    ):
        with pytest.raises(InvalidInputError, match=says):
            collect(tmp_path / place, exercises, tmp_path / "build")
