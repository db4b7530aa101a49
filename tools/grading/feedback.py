"""Write a page for each student: marks by question, and what the checks said."""

import shutil
from html import escape
from pathlib import Path

from tools.grading.collect import safe_name
from tools.grading.grade import Grade, Mark
from tools.grading.marks import shortened

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem;
  margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; margin-bottom: 0; }}
h2 {{ font-size: 1.1rem; margin: 0; }}
header {{ display: flex; justify-content: space-between; gap: 1rem; }}
header span {{ font-weight: 600; white-space: nowrap; }}
section {{ border-top: 1px solid #8888; padding: 1rem 0; }}
pre {{ background: #8882; padding: .6rem; overflow-x: auto; white-space: pre-wrap; }}
ul {{ margin: .5rem 0; padding-left: 1.2rem; }}
summary {{ cursor: pointer; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{name}</p>
<p><strong>{total}</strong> {status}</p>
{notes}
{sections}
</main>
</body>
</html>
"""


def write_feedback(grades: list[Grade], exercise: str, folder: Path) -> None:
    """Write ``ID.html`` for each student into a folder, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for one in grades:
        page = folder / f"{safe_name(one.id)}.html"
        page.write_text(feedback_page(one, exercise), encoding="utf-8")


def feedback_page(grade: Grade, exercise: str) -> str:
    """Return a page in HTML: no source of a test is in it, and nothing that is fetched."""
    tasks: dict[str, list[Mark]] = {}
    for mark in grade.marks:
        tasks.setdefault(mark.title, []).append(mark)
    largest = sum(mark.largest for mark in grade.marks)
    so_far = sum(mark.points or 0 for mark in grade.marks)
    when = " so far" if grade.total is None else ""
    total = f"{so_far:g} of {largest:g} points{when}." if grade.marks else ""
    return _PAGE.format(
        title=escape(exercise.replace("_", " ")),
        name=escape(f"{grade.name}, student number {grade.number}" if grade.number else grade.name),
        total=total,
        status=escape(grade.status[:1].upper() + grade.status[1:] + "."),
        notes=_list(grade.notes),
        sections="\n".join(_section(title, marks) for title, marks in tasks.items()),
    )


def _section(title: str, marks: list[Mark]) -> str:
    points = [mark.points for mark in marks]
    largest = f"{sum(mark.largest for mark in marks):g}"
    known = "–" if None in points else f"{sum(p for p in points if p is not None):g}"
    messages = list(dict.fromkeys(message for mark in marks for message in mark.messages))
    each = [f"{mark.question.replace('-', ' ')}: {_points(mark)}" for mark in marks]
    answers = list(dict.fromkeys(mark.answer.strip() or "(nothing)" for mark in marks))
    answer = escape("\n\n".join(map(shortened, answers)))
    return (
        f"<section><header><h2>{escape(title)}</h2><span>{known} of {largest}</span></header>"
        f"<p>{escape(', '.join(each))}</p>{_list(messages)}"
        f"<details><summary>Your answer</summary><pre>{answer}</pre></details></section>"
    )


def _points(mark: Mark) -> str:
    given = "not read yet," if mark.points is None else f"{mark.points:g}"
    return f"{given} of {mark.largest:g}"


def _list(lines: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""
