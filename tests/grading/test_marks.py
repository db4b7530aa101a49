"""Marks as tables: what a person typed stays, whatever spreadsheet it was typed in."""

import csv

import pytest

from s2kit.errors import InvalidInputError
from tools.grading.__main__ import _roster, main
from tools.grading.feedback import feedback_page
from tools.grading.grade import UNREAD, Grade, Mark
from tools.grading.marks import add_texts, read_table, read_texts, write_marks, write_texts

ANSWER = 'Clouds are bright; "about" as bright in red,\nso the NDVI is near 0.\u2028Yes.'


def graded(answer=ANSWER, key="7"):
    """Return a student who got one point, and wrote a text that nobody has read."""
    marks = [
        Mark("days", "Task 1", 1.0, 2.0, [], "days = 3"),
        Mark("why", "Task 2", None, 3.0, [], answer),
    ]
    return Grade(key, "Zoë Ångström", "s1", UNREAD, marks)


def typed(file, encoding="utf-8", separator=",", **given):
    """Type into the first row of a table, and save it as another spreadsheet would."""
    with file.open(newline="", encoding="utf-8-sig") as opened:
        rows = list(csv.DictReader(opened))
    with file.open("w", newline="", encoding=encoding) as opened:
        table = csv.DictWriter(opened, rows[0], delimiter=separator)
        table.writeheader()
        table.writerows([rows[0] | given, *rows[1:]])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_points_of_any_spreadsheet_count(tmp_path, encoding, separator):
    """Commas, semicolons or tabs, with or without a mark of UTF-8 at the beginning."""
    grades, file = [graded()], tmp_path / "texts.csv"
    write_texts(grades, file)
    typed(file, encoding, separator, points="2,5", comment="Which land?")
    for _ in range(2):  # grading again keeps them
        write_texts([graded()], file)
    add_texts(grades, file)
    assert grades[0].total == 3.5 and grades[0].status == "graded"
    assert grades[0].marks[1].messages == ["Which land?"]


def test_tables_open_in_excel(tmp_path):
    """Both begin with the mark by which Excel knows that they are in UTF-8."""
    write_texts([graded()], tmp_path / "texts.csv")
    write_marks([graded()], tmp_path / "marks.csv")
    for name in ("texts.csv", "marks.csv"):
        assert (tmp_path / name).read_bytes().startswith(b"\xef\xbb\xbfid,name,")


def test_what_names_another_student_is_for_the_instructor(tmp_path):
    """Remarks are in the table, and not on the page; neither is an id in place of a number."""
    one = graded()
    one.number, one.notes, one.remarks = "", ["another student too"], ["as 4711"]
    write_marks([one], tmp_path / "marks.csv")
    assert "another student too; as 4711" in (tmp_path / "marks.csv").read_text("utf-8-sig")
    page = feedback_page(one, "04_cloud_free")
    assert "another student too" in page and "4711" not in page and "student number" not in page
    assert "1 of 5 points so far." in page and "why: not read yet, of 3" in page


def test_points_belong_to_the_text_that_was_read(tmp_path):
    """A new answer is read anew; the points of the old one stay in the table."""
    file = tmp_path / "texts.csv"
    write_texts([graded()], file)
    typed(file, points="3")
    later = [graded("Another text.")]
    write_texts(later, file)
    assert [row["id"] for row in add_texts(later, file)] == ["7"]  # of the old text
    assert later[0].total is None and later[0].status == UNREAD
    assert [row["points"] for row in read_texts(file).values()] == ["", "3"]
    again = [graded()]
    add_texts(again, file)
    assert again[0].total == 4


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", " ="])
def test_no_spreadsheet_runs_what_a_student_wrote(tmp_path, start):
    """Text that would be a formula begins with an apostrophe in both tables; points still count."""
    one = graded(f"{start}1+1", key=f"{start}7")
    one.number = f"{start}cmd"
    write_texts([one], tmp_path / "texts.csv")
    typed(tmp_path / "texts.csv", points="1")
    add_texts([one], tmp_path / "texts.csv")
    write_marks([one], tmp_path / "marks.csv")
    assert one.total == 2
    cells = []
    for name in ("texts.csv", "marks.csv"):
        with (tmp_path / name).open(newline="") as file:
            cells += [cell for row in csv.reader(file) for cell in row]
    assert [cell for cell in cells if cell.startswith(start) and cell.strip()] == []
    assert f"'{start}1+1" in cells and f"'{start}cmd" in cells


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"id;number\n1;s1\n2;\n", None),
        (b"id,number\nParticipant 1,s1", None),
        ("\ufeffid,name,number\n1, Zo\u00eb ,s1\n".encode(), None),
        (b"id|number\n1|s1", r"needs the columns id, number; its first line is 'id|number'"),
        (b"", "needs the columns id, number"),
        (b"id,number\n", "has no student number"),
        (b"id,number\n1,\n", "has no student number"),
        ("id,number\n1,Zo\u00eb".encode("cp1252"), "is not in UTF-8"),
    ],
)
def test_roster(tmp_path, content, says):
    """A roster of any spreadsheet is read; what is no roster is refused with what is needed."""
    (tmp_path / "roster.csv").write_bytes(content)
    if says is None:
        assert _roster(tmp_path / "roster.csv") == {"1": "s1"}
        return
    with pytest.raises(InvalidInputError, match=says.replace("|", r"\|")):
        _roster(tmp_path / "roster.csv")


def test_a_long_text_is_cut_and_its_points_count(tmp_path):
    """A picture pasted into an answer makes no cell that no program reads."""
    one = graded("x" * 3_000_000)
    for _ in range(2):
        write_texts([one], tmp_path / "texts.csv")
    (row,) = read_texts(tmp_path / "texts.csv").values()
    assert len(row["answer"]) < 32_767
    typed(tmp_path / "texts.csv", points="3")
    assert add_texts([one], tmp_path / "texts.csv") == []
    assert one.total == 4


def test_rows_that_contradict_each_other_are_refused(tmp_path):
    """Of two rows of one text, neither is chosen in silence."""
    file = tmp_path / "texts.csv"
    write_texts([graded()], file)
    typed(file, points="3")
    lines = file.read_bytes().split(b"\r\n", 1)
    file.write_bytes(b"\r\n".join([*lines, lines[1]]))
    with pytest.raises(InvalidInputError, match="two rows for why of Zoë Ångström"):
        write_texts([graded()], file)


def test_points_with_a_spoilt_id_are_named(tmp_path):
    """A spreadsheet that makes a number of an id leaves points that belong to nobody."""
    file = tmp_path / "texts.csv"
    write_texts([graded()], file)
    typed(file, points="3", id="7.0")
    one = graded()
    assert [row["id"] for row in add_texts([one], file)] == ["7.0"]
    assert one.total is None
    typed(file, points="3", id=" 7 ")
    assert add_texts([one], file) == [] and one.total == 4


def test_a_short_row_is_empty_at_its_end(tmp_path):
    """Some spreadsheets leave out empty cells at the end of a line."""
    (tmp_path / "table.csv").write_text("id,points,comment\n1\n")
    assert read_table(tmp_path / "table.csv", ["id", "comment"]) == [{"id": "1", "comment": ""}]


def test_one_exercise_is_asked_for(tmp_path, capsys):
    """An exercise of which nothing is collected is named."""
    assert main(["--build", str(tmp_path), "grade", "--exercise", "04_cloud_free"]) == 101
    assert "nothing of 04_cloud_free is collected" in capsys.readouterr().err
