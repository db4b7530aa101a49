"""Checks of the accuracy of classifiers (notebook and exercise 05)."""

from typing import Any

import numpy as np
import pandas as pd

from s2kit.course.judging import Mistakes, call, judge


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


def majority_share(answer: Any, labels: pd.Series) -> bool:
    """Check the accuracy of always answering the most frequent class (exercise 05).

    Parameters
    ----------
    answer : number
    labels : pandas.Series
        The true class of each sample.
    """
    counts = labels.value_counts()
    shares = counts / counts.sum()
    count = "That is how many samples the class has; divide by all samples."
    each = "That is one number for each class; take the largest."
    mistakes: Mistakes = [
        (count, counts.max()),
        ("That is the number of samples.", counts.sum()),
        ("That is the number of classes.", len(counts)),
        ("That is the name of the class; which share of the samples has it?", counts.index[0]),
        ("That is in per cent; give it between 0 and 1.", 100 * shares.max()),
        ("That is the share of the rarest class.", shares.min()),
        ("That is the share of all other classes.", 1 - shares.max()),
        ("That would be right if all classes were equally frequent.", 1 / len(counts)),
        (each, shares),
        (each, counts),
    ]
    praise = f"Right: always answering {counts.index[0]} has this accuracy, without learning."
    return judge(answer, shares.max(), mistakes, praise)


def split_function(answer: Any, samples: pd.DataFrame, fields: list) -> bool:
    """Check a function that finds the samples of the test's fields (exercise 05).

    Parameters
    ----------
    answer : callable
        Takes the table of samples and the fields of the test.
    samples : pandas.DataFrame
        As `s2kit.sample_pixels` returns it.
    fields : list
        Those of the test.
    """
    called, value = call(answer, samples, fields)
    own = samples["field"].isin(fields).to_numpy()
    if called and isinstance(value, pd.DataFrame):
        print("Not yet. These are rows of the table; return true or false for each row.")
        return False
    first = (samples["field"] == fields[0]).to_numpy()
    mistakes: Mistakes = [
        ("These are the samples of the training: those of the test are asked for.", ~own),
        ("That holds one field only: use .isin(…) for several.", first),
        ("All samples are in the test; nothing is left to learn from.", np.ones(len(own), bool)),
        ("No sample is in the test: compare the column field.", np.zeros(len(own), bool)),
        ("That is how many samples they are; true or false for each is asked for.", own.sum()),
        ("These are row numbers; return true or false for each row.", np.flatnonzero(own)),
    ]
    praise = f"Right: {own.sum()} of {len(own)} samples, all of fields that are in no training."
    return called and judge(value, own, mistakes, praise)


def recalls_function(answer: Any, confusion: pd.DataFrame) -> bool:
    """Check a function that computes the recall of each class (exercise 05).

    Parameters
    ----------
    answer : callable
        Takes a confusion matrix.
    confusion : pandas.DataFrame
        Pixels by true class (rows) and answer (columns).
    """
    counts = confusion.to_numpy("f8")
    right, truth, answers = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall, precision, scores = right / truth, right / answers, 2 * right / (truth + answers)
        table = counts / truth[:, np.newaxis]
    one = "That is one number; the recall of each class is asked for."
    mistakes: Mistakes = [
        ("That is the precision: divide by the sums of the rows, sum(axis=1).", precision),
        ("That is F1; the recall alone is asked for.", scores),
        ("These are pixels; divide them by the pixels of each true class.", right),
        ("These are the shares that are wrong.", 1 - recall),
        ("That is in per cent; give it between 0 and 1.", 100 * recall),
        ("That is divided by all pixels; each class has its own number.", right / counts.sum()),
        ("That is the whole table of shares; only its diagonal is right.", table),
        (one, recall.mean()),
        (one, right.sum() / counts.sum()),
    ]
    called, value = call(answer, confusion)
    return called and judge(value, recall, mistakes, "Right: one number for each class.")


def unseen_answer(answer: Any, answers: pd.DataFrame) -> bool:
    """Check how sure a network is of a crop that it never saw (exercise 05).

    Parameters
    ----------
    answer : number
    answers : pandas.DataFrame
        One row for each pixel of the crop, with ``answer`` and ``probability``.
    """
    chance = answers["probability"]
    often = answers["answer"].value_counts(normalize=True)
    mistakes: Mistakes = [
        ("That is the probability of one pixel; take the mean.", chance.iloc[0]),
        ("That is the median; take the mean.", chance.median()),
        ("That is the largest; take the mean.", chance.max()),
        ("That is the smallest; take the mean.", chance.min()),
        ("That is the spread; take the mean.", chance.std()),
        ("That is one number for each pixel; take their mean.", chance),
        ("That is in per cent; give it between 0 and 1.", 100 * chance.mean()),
        ("That is what the network leaves to its other classes.", 1 - chance.mean()),
        ("That is how often it answers so, not how sure it is.", often.max()),
        ("No answer is right, since it never saw this crop; but how sure was it?", 0),
    ]
    praise = "Right: so sure is the network of answers that are all wrong."
    return judge(answer, chance.mean(), mistakes, praise)
