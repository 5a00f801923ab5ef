"""The judge of the committed history (tests/soak/history.py): it can tell each way to be wrong."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "soak"))
import history  # pylint: disable=wrong-import-position

NOW, LIMIT_MS = 100_000, 1000


class Story:
    """Members a, b, c and d, all available, and a minimum of three."""

    def __init__(self):
        self.events, self.revision = [], 0
        for name in "abcd":
            self.note(f"came-{name}", "heartbeat", id=name, updated=NOW, request_revision=0)
            self.change(name)

    def note(self, transaction, what, **row):
        self.events.append((len(self.events), transaction, NOW, what, row))

    def change(self, name, **fields):
        self.revision += 1
        row = {"id": name, "incarnation": 7, "state": "up", "is_alive": True, "is_available": True,
               "request_kind": 0, "request_incarnation": 0, "request_revision": 0,
               "zombified_incarnation": 0, "request_user": "somebody", **fields}
        self.note(f"write-{self.revision}", "role", revision=self.revision)
        self.note(f"write-{self.revision}", "member", **row)

    def kill(self, name, updated=NOW):
        self.note("kill", "heartbeat", id=name, updated=updated, request_revision=5)
        self.change(name, request_kind=1, request_incarnation=7, request_revision=5)

    def judged(self):
        told = history.History(3, LIMIT_MS)
        told.replay(self.events)
        return told.violations


def test_a_kill_may_leave_the_minimum():
    story = Story()
    story.kill("a")
    assert story.judged() == []


NOT_AVAILABLE = {
    "not alive": {"is_alive": False},
    "not ready for long enough": {"is_available": False},
    "in a bad state": {"state": "backoff"},
    "zombified": {"zombified_incarnation": 7},
}


@pytest.mark.parametrize("why", NOT_AVAILABLE)
def test_who_is_not_available_does_not_count(why):
    story = Story()
    story.change("d", **NOT_AVAILABLE[why])
    story.kill("a")
    assert len(story.judged()) == 1
    story = Story()
    story.change("d", **NOT_AVAILABLE[why])
    story.kill("d")
    assert story.judged() == []


def test_who_is_silent_does_not_count():
    story = Story()
    story.note("beat", "heartbeat", id="d", updated=NOW - LIMIT_MS, request_revision=0)
    story.kill("a")
    assert len(story.judged()) == 1


def test_who_is_asked_does_not_count():
    story = Story()
    story.kill("d")
    story.kill("a")
    assert len(story.judged()) == 1


def test_a_request_of_an_earlier_life_says_nothing():
    story = Story()
    story.change("d", request_kind=1, request_incarnation=6)
    story.kill("a")
    assert story.judged() == []


def test_a_heartbeat_that_erases_a_request_is_seen():
    story = Story()
    story.kill("a")
    story.note("beat", "heartbeat", id="a", updated=NOW, request_revision=0)
    assert story.judged() == ["a: a heartbeat erased a request",
                              "a: the heads do not tell of the last request"]


def test_a_history_that_cannot_be_is_refused():
    story = Story()
    story.note("alone", "member", id="a")
    with pytest.raises(history.Broken, match="without a new revision"):
        story.judged()
    story = Story()
    story.note("write-1", "role", revision=9)
    with pytest.raises(history.Broken, match="between"):
        story.judged()
    story = Story()
    story.note("late", "role", revision=1)
    with pytest.raises(history.Broken, match="the revision went"):
        story.judged()
