"""What is drawn after parameters have changed: each drawing once, in order, when all are set."""

from contextlib import nullcontext

import param
import pytest

from s2kit.viewers.redraw import Redraw


class Values(param.Parameterized):
    """Parameters as a viewer has them."""

    a = param.Integer(0)
    b = param.Integer(0)
    c = param.Integer(0)


@pytest.fixture
def case():
    """Return parameters, their `Redraw`, and the list of what was called."""
    values, called = Values(), []
    begin, end = (lambda _names: called.append("begin")), (lambda: called.append("end"))
    return values, Redraw(values, nullcontext, begin, end), called


def test_each_drawing_once_and_in_order(case):
    """However many parameters change together, each drawing runs once, in the order added."""
    values, redraw, called = case
    redraw.on(["a", "b"], lambda: called.append("map"))
    redraw.on(["b", "c"], lambda: called.append("chart"))
    values.param.update(c=1, b=1, a=1)
    assert called == ["begin", "map", "chart", "end"]
    called.clear()
    values.a = 2
    assert called == ["begin", "map", "end"]
    values.a = 2
    assert called == ["begin", "map", "end"]


def test_a_drawing_may_set_parameters(case):
    """What becomes due while something is drawn is drawn in the same turn."""
    values, redraw, called = case
    redraw.on(["a"], lambda: values.param.update(b=values.a))
    redraw.on(["b"], lambda: called.append(values.b))
    values.a = 3
    assert called == ["begin", 3, "end"]


def test_followers_come_first(case):
    """What follows a parameter is set before anything is drawn, unless it was given, too."""
    values, redraw, called = case
    redraw.follow(["a"], ["b"], lambda free: values.param.update(b=0) if free else None)
    redraw.on(["a", "b"], lambda: called.append((values.a, values.b)))
    values.b = 5
    values.a = 1
    values.param.update(a=2, b=7)
    values.param.update(a=3, b=7)
    assert [one for one in called if isinstance(one, tuple)] == [(0, 5), (1, 0), (2, 7), (3, 7)]


def test_a_follower_is_drawn_where_only_it_is(case):
    """A drawing of a parameter that follows another one runs, although nobody set it."""
    values, redraw, called = case
    redraw.on(["b"], lambda: called.append(values.b))
    values.b = 4
    redraw.follow(["a"], ["b"], lambda free: values.param.update(b=0))
    values.a = 1
    assert [one for one in called if isinstance(one, int)] == [4, 0]
