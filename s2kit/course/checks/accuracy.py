"""Checks of the accuracy of classifiers (notebook 05)."""

from typing import Any

import numpy as np
import pandas as pd

from s2kit.course.judging import judge


def balanced_accuracy(answer: Any, confusion: pd.DataFrame) -> bool:
    """Check the balanced accuracy of a classifier (notebook 05).

    Parameters
    ----------
    answer : number
    confusion : pandas.DataFrame
        Pixels by true class (rows) and answer (columns).
    """
    counts = confusion.to_numpy("f8")
    right, truth, answers = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall, precision = right / truth, right / answers
        scores = 2 * right / (truth + answers)
    overall = "That is the overall accuracy, where large classes count more: "
    overall += "first the share of each class, then the mean."
    columns = "You divided by the sums of the columns; the truth is in the rows: sum(axis=1)."
    each = "That is one number for each class; take their mean."
    pixels = "These are pixels; divide them by the pixels of each true class."
    table = "You took the mean of the whole table of shares; only its diagonal is right."
    mixed = "Each row is divided by the sum of another one: take its own."
    mistakes = [
        (overall, right.sum() / counts.sum()),
        (columns, precision.mean()),
        (columns, precision[np.isfinite(precision)].mean()),
        (columns, precision),
        (each, recall),
        (pixels, right),
        (pixels, right.mean()),
        ("That is the share of mistakes; take the share that is right.", 1 - recall.mean()),
        ("That is in per cent; give it between 0 and 1.", 100 * recall.mean()),
        ("That is the sum over the classes; take the mean.", recall.sum()),
        ("That is the median; take the mean.", np.median(recall)),
        ("That is the mean F1 of the classes; take the mean of their recalls.", scores.mean()),
        (table, (counts / truth[:, np.newaxis]).mean()),
        (mixed, np.nanmean(counts / truth)),
    ]
    praise = "Right: each class counts the same, however small."
    return judge(answer, recall.mean(), mistakes, praise)
