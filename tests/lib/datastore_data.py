"""The entities of one database: their versions, transactions and locks, and what a commit does.

Everything happens under one lock, so that a commit is one moment. Of each entity the versions of
the past hour are kept (at most VERSIONS_MAX), which is what reads at a time and read-only
transactions see.

A read-write transaction holds a lock on each entity it has read, whether or not there is one, and
on each query it has run: a commit of anybody else that writes such an entity, or one that the query
would find before or after, waits until the transaction has ended, and is ABORTED if that takes too
long. Of two transactions that wait for each other the one that came later is ABORTED at once. In
the optimistic mode nobody waits, and who has read what was changed since is ABORTED.
"""
import bisect
import dataclasses
import itertools
import threading
import time

from datastore_mutations import apply_mutation, check_sequence
from datastore_values import Refusal, describe_key, invalid, key_order

HISTORY_US, VERSIONS_MAX = 3600 * 1000000, 64
CONTENTION = "too much contention on these datastore entities. please try again."
GONE = "The referenced transaction has expired or is no longer valid."


@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    time: int  # of the commit, in microseconds: the update time
    number: int
    properties: dict | None  # None: deleted
    created: int


@dataclasses.dataclass(eq=False, slots=True)
class Transaction:
    id: bytes
    is_read_only: bool
    read_time: int
    began: float
    used: float
    keys: set = dataclasses.field(default_factory=set)
    queries: list = dataclasses.field(default_factory=list)
    awaits: set = dataclasses.field(default_factory=set)  # transactions, while it commits
    was_aborted: bool = False


class Database:
    """settings: those of the server, which may change at any time. clock(): microseconds."""

    def __init__(self, project, name, settings, clock, generator):
        self.project, self.name, self.settings, self.clock = project, name, settings, clock
        self.generator = generator
        self.changed = threading.Condition()
        self.records = {}  # key: [Version, …], the latest last
        self.kinds = {}  # (namespace, kind): {key}, of all that have versions
        self.sorted_kinds = {}  # the same as a sorted list, until a key comes or goes
        self.transactions = {}
        self.ended = {}  # ids of the latest transactions that were aborted
        self.last_time = self.last_number = 0
        self.next_transaction = itertools.count(1)

    # --- Reading ----------------------------------------------------------------------------------

    def now(self):
        """Later than all commits, so that a read then has seen them."""
        return max(self.clock(), self.last_time)

    def check_read_time(self, moment):
        if moment > self.clock() + 1000000:
            raise invalid("The requested 'read_time' cannot be in the future.")
        if moment < self.clock() - HISTORY_US:
            raise Refusal("FAILED_PRECONDITION", "The requested 'read_time' is too old. It must be "
                          "within the past hour.")

    def version_at(self, key, moment=None):
        """The version that was the latest at the moment (None: is), a deleted one too; or None."""
        versions = self.records.get(key)
        if not versions:
            return None
        if moment is None or versions[-1].time <= moment:
            return versions[-1]
        found = bisect.bisect_right(versions, moment, key=lambda version: version.time)
        return versions[found - 1] if found else None

    def scan(self, namespace, kind, moment=None, after=None):
        """(key, Version) of all that exist, in the order of keys. kind None: of all kinds. after:
        only of keys later in that order."""
        wanted = (namespace, kind)
        if wanted not in self.sorted_kinds:
            keys = self.kinds.get(wanted, ()) if kind is not None else itertools.chain(*(
                found for (where, _), found in self.kinds.items() if where == namespace))
            self.sorted_kinds[wanted] = sorted(keys, key=key_order)
        keys = self.sorted_kinds[wanted]
        first = bisect.bisect_right(keys, after, key=key_order) if after is not None else 0
        for i in range(first, len(keys)):
            key = keys[i]
            version = self.version_at(key, moment)
            if version is not None and version.properties is not None:
                yield key, version

    # --- Transactions -----------------------------------------------------------------------------

    def begin(self, is_read_only, read_time=None):
        if read_time is not None:
            self.check_read_time(read_time)
        now = time.monotonic()
        number = next(self.next_transaction)
        transaction = Transaction(b"tx-%d-%d" % (number, self.generator.getrandbits(40)),
                                  is_read_only, read_time or self.now(), now, now)
        self.transactions[transaction.id] = transaction
        return transaction

    def transaction(self, name):
        """A living one, of which this is a use."""
        self.expire()
        transaction = self.transactions.get(name)
        if transaction is None:
            if name in self.ended:
                raise Refusal("ABORTED", CONTENTION)
            raise invalid(GONE if name else "The transaction id is empty.")
        transaction.used = time.monotonic()
        return transaction

    def expire(self):
        now = time.monotonic()
        for transaction in list(self.transactions.values()):
            if not transaction.awaits and (
                    now - transaction.used > self.settings["transaction_idle_ms"] / 1000
                    or now - transaction.began > self.settings["transaction_ms"] / 1000):
                self.end(transaction)

    def end(self, transaction, was_aborted=False):
        if self.transactions.pop(transaction.id, None) is not None and was_aborted:
            self.ended[transaction.id] = None
            while len(self.ended) > 1000:
                del self.ended[next(iter(self.ended))]
        self.changed.notify_all()

    def rollback(self, name):
        self.expire()
        if name in self.ended:
            return
        self.end(self.transaction(name))

    # --- Locks ------------------------------------------------------------------------------------

    def holders(self, changes, own):
        """The transactions that the changes have to wait for: {key: (before, after)}."""
        found = set()
        for transaction in self.transactions.values():
            if transaction is own or transaction.is_read_only:
                continue
            if not transaction.keys.isdisjoint(changes) or any(
                    query.would_find(key, properties)
                    for query in transaction.queries for key, pair in changes.items()
                    for properties in pair):
                found.add(transaction)
        return found

    @staticmethod
    def reaches(transactions, own):
        """Whether one of them waits for our own, or for one that does."""
        seen, todo = set(), list(transactions)
        while todo:
            transaction = todo.pop()
            if transaction is own:
                return True
            if transaction not in seen:
                seen.add(transaction)
                todo.extend(transaction.awaits)
        return False

    def await_locks(self, plan, own):
        """Returns what plan() says once nobody else holds a lock on what it would change."""
        deadline = time.monotonic() + self.settings["lock_wait_ms"] / 1000
        try:
            while True:
                planned = plan()
                self.expire()
                holders = self.holders(planned.changes, own)
                if not holders:
                    return planned
                left = deadline - time.monotonic()
                if left <= 0 or self.reaches(holders, own):
                    raise Refusal("ABORTED", CONTENTION)
                if own is not None:
                    own.awaits = holders
                self.changed.wait(min(left, 0.5))
        finally:
            if own is not None:
                own.awaits = set()

    def check_unchanged(self, transaction):
        """Optimistic: what it has read is still as it was when it began."""
        for key in transaction.keys:
            now, then = self.version_at(key), self.version_at(key, transaction.read_time)
            if now is not then and (now is None or now.time > transaction.read_time):
                raise Refusal("ABORTED", CONTENTION)
        for query in transaction.queries:
            for keys in self.kinds.values():
                for key in keys:
                    latest = self.records[key][-1]
                    if latest.time > transaction.read_time and (
                            query.would_find(key, latest.properties) or query.would_find(
                                key, getattr(self.version_at(key, transaction.read_time),
                                             "properties", None))):
                        raise Refusal("ABORTED", CONTENTION)

    # --- Commits ----------------------------------------------------------------------------------

    def commit(self, mutations, transaction, is_transactional):
        """What was done. transaction None: there is none, or a single-use one."""
        check_sequence(mutations, is_transactional)
        is_optimistic = self.settings["concurrency"] == "optimistic"
        try:
            if transaction is not None and transaction.is_read_only and mutations:
                raise invalid("Cannot modify entities in a read-only transaction.")
            if is_optimistic:
                if transaction is not None and not transaction.is_read_only:
                    self.check_unchanged(transaction)
                plan = self.plan(mutations, is_transactional)
            else:
                plan = self.await_locks(lambda: self.plan(mutations, is_transactional), transaction)
        except Refusal as refusal:
            if transaction is not None:
                self.end(transaction, was_aborted=refusal.status == "ABORTED")
            raise
        for key, version in plan.versions.items():
            self.write(key, version)
        self.last_time = max(self.last_time, plan.time)
        self.last_number = max(self.last_number, plan.number)
        if transaction is not None:
            self.end(transaction)
        if plan.refusal is not None:
            raise plan.refusal
        return plan

    def plan(self, mutations, is_transactional):
        plan = Plan(self, is_transactional)
        for mutation in mutations:
            plan.add(mutation)
        return plan

    def write(self, key, version):
        versions = self.records.get(key)
        if versions is None:
            versions = self.records[key] = []
            kind = (key[0], key[1][-1][0])
            self.kinds.setdefault(kind, set()).add(key)
            self.sorted_kinds.pop(kind, None)
            self.sorted_kinds.pop((key[0], None), None)
        versions.append(version)
        if len(versions) > VERSIONS_MAX:
            del versions[0]
        oldest = self.clock() - HISTORY_US
        while len(versions) > 1 and versions[1].time < oldest:
            del versions[0]

    def touch(self, keys):
        """Somebody else writes what they are: new versions of the same."""
        for key in keys:
            version = self.version_at(key)
            if version is not None and version.properties is not None:
                self.last_time = max(self.clock(), self.last_time + 1)
                self.last_number = max(self.last_time, self.last_number + 1)
                self.write(key, dataclasses.replace(version, time=self.last_time,
                                                    number=self.last_number))

    def new_key(self, key):
        """The key with an id for its last element that no entity has had."""
        namespace, path = key
        while True:
            number = self.generator.randrange(1 << 52, 1 << 53)
            made = namespace, path[:-1] + ((path[-1][0], number),)
            if made not in self.records:
                return made

    def wipe(self, namespace=None, kind=None):
        """Forgets entities, with their history, whatever transactions hold."""
        for where in list(self.kinds):
            if namespace in (None, where[0]) and kind in (None, where[1]):
                for key in self.kinds.pop(where):
                    del self.records[key]
        self.sorted_kinds.clear()
        self.changed.notify_all()


class Plan:
    """What a commit would do, worked out without doing it. versions: of what changes; changes: the
    properties before and after, of all that are written, to find whose locks are in the way.

    A refused mutation refuses a transactional commit. Without a transaction the others may be
    applied all the same, which the setting `partial` decides: none, before (those before it),
    others, or random.
    """

    def __init__(self, database, is_transactional):
        self.database, self.is_transactional = database, is_transactional
        self.time = max(database.clock(), database.last_time + 1)
        self.number = max(self.time, database.last_number + 1)
        self.request_time = database.clock() // 1000 * 1000
        self.versions, self.changes, self.results = {}, {}, []
        self.refusal = None
        self.index_updates = 0
        self.writes = self.deletes = 0
        partial = database.settings["partial"]
        self.partial = (database.generator.choice(("none", "before", "others"))
                        if partial == "random" else partial)

    def current(self, key):
        version = self.versions.get(key) or self.database.version_at(key)
        return version if version is not None and version.properties is not None else None

    def add(self, mutation):
        if self.refusal is not None and self.partial != "others":
            return
        try:
            self.try_to_add(mutation)
        except Refusal as refusal:
            if self.is_transactional:
                raise
            self.refusal = self.refusal or refusal
            if self.partial == "none":
                self.versions.clear()
                self.changes.clear()

    def try_to_add(self, mutation):
        key = mutation.key
        current = self.current(key)
        if mutation.conflicts_with(current, self.database.settings):
            if mutation.fails_on_conflict:
                raise Refusal(self.database.settings["fail_status"],
                              "the entity was changed since the given base version: "
                              + describe_key(key, self.database.project))
            self.results.append((mutation, current, True, []))
            return
        properties, results = apply_mutation(mutation, current, self.request_time,
                                             self.database.project)
        before = current.properties if current is not None else None
        self.changes[key] = (self.changes[key][0] if key in self.changes else before, properties)
        if properties is None:
            self.deletes += 1
        else:
            self.writes += 1
        if before != properties:
            # Nothing is written, and the version stays, where nothing changes.
            made = Version(self.time, self.number, properties,
                           current.created if current is not None else self.time)
            self.versions[key] = current = made
            self.index_updates += 2
            if not self.is_transactional:
                self.time += 1
                self.number += 1
        self.results.append((mutation, current, False, results))
