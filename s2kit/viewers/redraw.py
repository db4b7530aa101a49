"""Draw again what depends on a viewer's parameters: the one way in which the viewers react.

Every reaction is a watcher of `param`. Quick ones, such as a control that follows a parameter, are
plain ``param.watch`` and run at once. Drawing is slow, and one action of a person may change
several parameters. A watcher of a drawing therefore only marks it; `Redraw` runs all that are
marked when the parameters are set, each once, in the order in which they were added. On a server it
does so in the next turn of the event loop, when the page already shows that it is busy.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import panel as pn
import param

from s2kit.viewers.page import is_served


class Redraw:
    """Runs drawings after parameters have changed.

    Parameters
    ----------
    viewer : param.Parameterized
    guard : callable
        Returns the context in which a drawing or follower runs; it handles errors.
    begin : callable
        Called with the names of the parameters that have changed, when drawings are due.
    end : callable
        Called when all are done.
    """

    def __init__(
        self,
        viewer: param.Parameterized,
        guard: Callable[[], AbstractContextManager],
        begin: Callable[[set[str]], None],
        end: Callable[[], None],
    ):
        self._viewer, self._guard, self._begin, self._end = viewer, guard, begin, end
        self._due: dict[Callable[[], None], bool] = {}
        self._held = self._scheduled = False

    def on(self, names: Sequence[str], draw: Callable[[], None]) -> None:
        """Call ``draw()`` after one or more of the parameters ``names`` have changed."""
        self._due[draw] = False

        def mark(*_events: param.parameterized.Event) -> None:
            self._due[draw] = True

        self._viewer.param.watch(mark, list(names))
        self._viewer.param.watch(self._schedule, list(names), precedence=1)

    def follow(
        self, names: Sequence[str], others: Sequence[str], act: Callable[[set[str]], None]
    ) -> None:
        """Call ``act(free)`` at once after one of ``names`` has changed, before anything is drawn.

        ``free`` are those of the parameters ``others`` that were not given in the same update: one
        that is given together with a change is meant for after it.
        """

        def follow(*events: param.parameterized.Event) -> None:
            if not any(event.name in names and event.old != event.new for event in events):
                return
            held, self._held = self._held, True
            try:
                with self._guard():
                    act(set(others) - {event.name for event in events})
            finally:
                self._held = held

        self._viewer.param.watch(follow, [*names, *others], onlychanged=False)
        self._viewer.param.watch(self._schedule, list(names), precedence=1)

    def _schedule(self, *events: param.parameterized.Event) -> None:
        """Schedule what is due, after the other watchers of an update have run."""
        if self._held or not any(self._due.values()):
            return
        self._begin({event.name for event in events})
        page = pn.state.curdoc
        if page is None or not is_served():
            self._run()
        elif not self._scheduled:
            self._scheduled = True
            page.add_next_tick_callback(self._run)

    def _run(self) -> None:
        """Run all that is due, also what becomes due meanwhile."""
        self._scheduled = False
        if self._held:
            return
        self._held = True
        try:
            while draw := next((draw for draw, due in self._due.items() if due), None):
                self._due[draw] = False
                with self._guard():
                    draw()
        finally:
            self._held = False
            self._end()
