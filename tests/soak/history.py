"""Replays the committed history of one role, as audit.sql recorded it, and judges every kill in it.

It knows the rule of the budget from the documentation, and nothing of the code that keeps it.
Whoever killed had seen the role as the write before his had left it: had it changed, he would have
met a conflict. What may have changed since is how old a heartbeat is. So a member was available if
it was alive, in a good state, ready, not zombified, asked for nothing, and its heartbeat young
enough at the moment of the write before: the earliest at which he may have looked.
"""
import collections
import json

GOOD_STATES = ("up", "draining", "stopping")
KILL = 1


class Broken(Exception):
    """The history itself cannot be: its order, or a revision in it."""


def is_asked(member):
    return member["request_kind"] != 0 and member["request_incarnation"] == member["incarnation"]


def is_in_rotation(member):
    return (member["is_alive"] and member["is_available"] and member["state"] in GOOD_STATES
            and member["zombified_incarnation"] != member["incarnation"] and not is_asked(member))


class History:
    """`minimum` is the role's; `limit_ms` how young the heartbeat of an available member is."""

    def __init__(self, minimum, limit_ms):
        self.minimum, self.limit_ms = minimum, limit_ms
        self.members = {}
        self.beats = {}  # id → (updated, the request's revision)
        self.revision = 0
        self.previous_ms = 0  # when the write before was made
        self.violations = []
        self.winners = collections.Counter()
        self.left = collections.Counter()  # how many available members a kill left
        self.seen = collections.Counter()

    def replay(self, events):
        """`events`: (number, transaction, at_ms, what, row) in the order of their numbers."""
        writes, finished, current = [], set(), None
        for _, transaction, at_ms, what, row in events:
            if what.startswith("heartbeat"):
                # A write's own heartbeat rows are the record of its request, or of a new life.
                self.beat(what, row)
                continue
            if transaction != current:
                self.write(writes)
                if transaction in finished:
                    raise Broken(f"transaction {transaction} wrote between another's writes")
                finished.add(transaction)
                writes, current = [], transaction
            writes.append((at_ms, what, row))
        self.write(writes)
        for name, member in self.members.items():
            if name in self.beats and self.beats[name][1] != member["request_revision"]:
                self.violations.append(f"{name}: the heads do not tell of the last request")

    def beat(self, what, row):
        if what == "heartbeat-gone":
            self.beats.pop(row["id"], None)
            return
        if self.beats.get(row["id"], (0, 0))[1] > row["request_revision"]:
            self.violations.append(f"{row['id']}: a heartbeat erased a request")
        self.beats[row["id"]] = (row["updated"], row["request_revision"])

    def write(self, rows):
        """One transaction: the role's revision, and the members that it changed."""
        if not rows:
            return
        roles = [row for _, what, row in rows if what == "role" and row["revision"] != 0]
        changes = [(at_ms, what, row) for at_ms, what, row in rows if what.startswith("member")]
        if changes and not roles:
            raise Broken(f"a write without a new revision of the role: {changes}")
        for role in roles:
            if role["revision"] <= self.revision:
                raise Broken(f"the revision went from {self.revision} to {role['revision']}")
            self.revision = role["revision"]
        before = dict(self.members)
        for at_ms, what, row in changes:
            old = before.get(row["id"])
            if what == "member-gone":
                self.members.pop(row["id"], None)
                continue
            self.members[row["id"]] = row
            if old is not None and is_asked(row) and not is_asked(old):
                self.judge(at_ms, before, row)
            elif old is not None:
                self.take_note(old, row)
        self.previous_ms = rows[0][0]

    def is_fresh(self, name):
        return name in self.beats and self.beats[name][0] > self.previous_ms - self.limit_ms

    def judge(self, at_ms, before, victim):
        available = {name for name, member in before.items()
                     if is_in_rotation(member) and self.is_fresh(name)}
        left = len(available - {victim["id"]})
        self.winners[victim["request_user"]] += 1
        self.left[left] += 1
        self.seen["kills"] += 1
        if any(is_in_rotation(member) and name not in available
               for name, member in before.items()):
            self.seen["kills while one was silent"] += 1
        if left < self.minimum:
            self.violations.append(
                f"at {at_ms} {victim['request_user']} killed {victim['id']} and left {left} "
                f"available of a minimum of {self.minimum}: {sorted(available)}")

    def take_note(self, old, new):
        if new["zombified_incarnation"] not in (old["zombified_incarnation"], 0):
            self.seen["zombified"] += 1
        if new["incarnation"] != old["incarnation"]:
            self.seen["new incarnations"] += 1
        elif old["is_alive"] and not new["is_alive"] and not is_asked(old):
            self.seen["drained by themselves"] += 1


def read(csv_rows):
    """The events as psql prints them with --csv, sorted."""
    events = [(int(number), transaction, int(at_ms), what, json.loads(row))
              for number, transaction, at_ms, what, row in csv_rows]
    return sorted(events, key=lambda event: event[0])
