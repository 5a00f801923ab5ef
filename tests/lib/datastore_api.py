"""The methods of REST v1 on the databases: from a request's JSON to an answer's."""
import random
import threading

from datastore_data import Database
from datastore_mutations import read_mutation, read_path
from datastore_query import Query, aggregate, write_result
from datastore_values import (Reader, Refusal, check_names, invalid, read_bytes, read_key,
                              read_partition, read_time, unknown_name, write_bytes, write_key,
                              write_time)

MUTATIONS_MAX, KEYS_MAX = 500, 1000
SETTINGS = {
    "concurrency": "pessimistic",  # or optimistic
    "lock_wait_ms": 20000,
    "transaction_idle_ms": 60000,
    "transaction_ms": 270000,
    "batch_max": 300,  # results of a query in one answer
    "lookup_max": 1000,  # entities of a lookup in one answer; the others are deferred
    "eventual_lag_ms": 0,  # how much eventual reads miss
    "partial": "random",  # of a refused commit without a transaction: none, before, others
    "missing_conflicts": True,  # an update of what is missing with a base version: else NOT_FOUND
    "require_indexes": True,
    "restless": False,  # what is looked up outside a transaction is changed by others right after
    "fail_status": "ABORTED",  # of a commit that FAILs by a base version
    "demand_routing": True,  # a named database needs x-goog-request-params
    # What an older server does not know. "ignore": silently; "refuse": as an unknown field.
    "masks": True, "base_versions": True, "transforms": True, "single_use": True,
    "unknown_fields": "refuse",
}
OLDER = {"propertyMask": "masks", "baseVersion": "base_versions", "updateTime": "base_versions",
         "conflictResolutionStrategy": "base_versions", "propertyTransforms": "transforms"}
READ_OPTIONS = ("readConsistency", "transaction", "newTransaction", "readTime")
COMMON = ("projectId", "databaseId", "requestOptions")


class Api:
    """names: the databases that exist beside the default one. clock(): microseconds since 1970."""

    def __init__(self, names, projects, clock, seed):
        self.settings = {**SETTINGS, "indexes": set()}
        self.names, self.projects, self.clock = {"", *names}, set(projects), clock
        self.generator = random.Random(seed)
        self.databases = {}
        self.making = threading.Lock()
        self.methods = {"lookup": self.lookup, "runQuery": self.run_query,
                        "runAggregationQuery": self.run_aggregation_query,
                        "beginTransaction": self.begin_transaction, "commit": self.commit,
                        "rollback": self.rollback, "allocateIds": self.allocate_ids,
                        "reserveIds": self.reserve_ids}

    def call(self, method, project, body, headers, bill):
        """bill: a dict in which reads, writes and deletes are added up as they would be billed."""
        if self.projects and project not in self.projects:
            raise Refusal("PERMISSION_DENIED", "Permission denied on resource project "
                          f"{project}.")
        if not isinstance(body, dict):
            raise invalid("Invalid JSON payload received. Expected an object.")
        if body.get("projectId", project) != project:
            raise invalid("mismatched projects within request")
        return self.methods[method](self.database(project, body, headers), body, bill)

    def database(self, project, body, headers):
        name = body.get("databaseId") or ""
        if name == "(default)":
            raise invalid("'(default)' is not a valid database id. Use an empty string to refer to "
                          "the default database.")
        if name not in self.names:
            raise Refusal("NOT_FOUND", f"The database {name or '(default)'} does not exist for "
                          f"project {project} Please visit https://console.cloud.google.com/"
                          f"datastore/setup?project={project} to add a Cloud Datastore or Cloud "
                          "Firestore database. ")
        routing = headers.get("x-goog-request-params", "")
        if name and self.settings["demand_routing"] \
                and f"database_id={name}" not in routing.split("&"):
            raise invalid("The routing header for the request does not match the resource in the "
                          f"request message projects/{project} != projects/{project}/databases/"
                          f"{name}.  The routing header should be x-goog-request-params:"
                          f"project_id={project}&database_id={name}.")
        with self.making:
            if (project, name) not in self.databases:
                self.databases[project, name] = Database(project, name, self.settings, self.clock,
                                                         self.generator)
            return self.databases[project, name]

    # --- Reads ------------------------------------------------------------------------------------

    def read_moment(self, database, body, answer):
        """When to read, and the transaction in which, or None. The caller holds the lock."""
        options = body.get("readOptions") or {}
        check_names(options, READ_OPTIONS, "read_options")
        chosen = [name for name in READ_OPTIONS if options.get(name) not in (None, "")]
        if len(chosen) > 1:
            raise invalid("Invalid value at 'read_options' (oneof), oneof field 'consistency_type' "
                          f"is already set. Cannot set '{chosen[1]}'")
        if not chosen:
            return None, None
        value = options[chosen[0]]
        match chosen[0]:
            case "readConsistency":
                if value not in ("STRONG", "EVENTUAL", 1, 2):
                    raise invalid("Invalid value at 'read_options.read_consistency' "
                                  f'(google.datastore.v1.ReadOptions.ReadConsistency), "{value}"')
                lag = self.settings["eventual_lag_ms"] * 1000
                return (database.clock() - lag if lag and value in ("EVENTUAL", 2) else None), None
            case "readTime":
                moment = read_time(value, "read_options.read_time")
                database.check_read_time(moment)
                return moment, None
            case "transaction":
                transaction = database.transaction(read_bytes(value, "read_options.transaction"))
            case "newTransaction":
                transaction = self.new_transaction(database, value)
                answer["transaction"] = write_bytes(transaction.id)
        is_snapshot = transaction.is_read_only or self.settings["concurrency"] == "optimistic"
        return (transaction.read_time if is_snapshot else None), transaction

    def lookup(self, database, body, bill):
        check_names(body, (*COMMON, "readOptions", "keys", "propertyMask"))
        keys = body.get("keys") or []
        if len(keys) > KEYS_MAX:
            raise invalid(f"cannot get more than {KEYS_MAX} keys in a single call")
        keys = list(dict.fromkeys(read_key(key, database.project, database.name) for key in keys))
        mask = read_mask(body)
        answer, found, missing = {}, [], []
        with database.changed:
            moment, transaction = self.read_moment(database, body, answer)
            at = moment or database.now()
            for key in keys[:self.settings["lookup_max"]]:
                version = database.version_at(key, moment)
                if version is not None and version.properties is not None:
                    found.append(write_result(key, version, database, mask))
                else:
                    missing.append({"entity": {"key": write_key(key, database.project,
                                                                database.name)},
                                    "version": str(at)})
                if transaction is not None and not transaction.is_read_only:
                    transaction.keys.add(key)
            if self.settings["restless"] and transaction is None:
                database.touch(keys)
        bill["reads"] += len(found) + len(missing)
        deferred = [write_key(key, database.project, database.name)
                    for key in keys[self.settings["lookup_max"]:]]
        for name, results in (("found", found), ("missing", missing), ("deferred", deferred)):
            if results:
                answer[name] = results
        answer["readTime"] = write_time(at)
        return answer

    def query(self, database, body, query):
        if body.get("gqlQuery"):
            raise Refusal("UNIMPLEMENTED", "This server has no GQL.")
        if not query:
            raise invalid("The request has no query.")
        namespace = read_partition(body.get("partitionId"), database.project, database.name)
        return Query(query, namespace, database)

    def run_query(self, database, body, bill):
        check_names(body, (*COMMON, "partitionId", "readOptions", "query", "gqlQuery",
                           "propertyMask", "explainOptions"))
        query, mask, answer = self.query(database, body, body.get("query")), read_mask(body), {}
        with database.changed:
            moment, transaction = self.read_moment(database, body, answer)
            answer["batch"], rows = query.answer(moment or database.now(),
                                                 self.settings["batch_max"], mask)
            self.lock_query(transaction, query, rows)
        bill["small" if query.is_keys_only else "reads"] += \
            len(rows) + answer["batch"].get("skippedResults", 0)
        return answer

    def run_aggregation_query(self, database, body, bill):
        check_names(body, (*COMMON, "partitionId", "readOptions", "aggregationQuery", "gqlQuery",
                           "explainOptions"))
        aggregation, answer = body.get("aggregationQuery") or {}, {}
        query = self.query(database, body, aggregation.get("nestedQuery"))
        with database.changed:
            moment, transaction = self.read_moment(database, body, answer)
            at = moment or database.now()
            result = {"aggregateProperties": aggregate(query, aggregation, at)}
            self.lock_query(transaction, query, [])
        bill["reads"] += 1
        answer["batch"] = {"aggregationResults": [result], "moreResults": "NO_MORE_RESULTS",
                           "readTime": write_time(at)}
        return answer

    @staticmethod
    def lock_query(transaction, query, rows):
        if transaction is not None and not transaction.is_read_only:
            transaction.queries.append(query)
            transaction.keys.update(row.key for row in rows)

    # --- Transactions and writes ------------------------------------------------------------------

    @staticmethod
    def new_transaction(database, options):
        options = options or {}
        check_names(options, ("readWrite", "readOnly"), "transaction_options")
        if options.get("readWrite") is not None and options.get("readOnly") is not None:
            raise invalid("Invalid value at 'transaction_options' (oneof), oneof field 'mode' is "
                          "already set. Cannot set 'readOnly'")
        if options.get("readWrite") is not None:
            check_names(options["readWrite"], ("previousTransaction",), "transaction_options")
        read_only = options.get("readOnly")
        if read_only is None:
            return database.begin(False)
        check_names(read_only, ("readTime",), "transaction_options.read_only")
        moment = read_only.get("readTime")
        return database.begin(True, read_time(moment, "read_time") if moment else None)

    def begin_transaction(self, database, body, bill):
        check_names(body, (*COMMON, "transactionOptions"))
        with database.changed:
            transaction = self.new_transaction(database, body.get("transactionOptions"))
        return {"transaction": write_bytes(transaction.id)}

    def rollback(self, database, body, bill):
        check_names(body, (*COMMON, "transaction"))
        with database.changed:
            database.rollback(read_bytes(body.get("transaction") or "", "transaction"))
        return {}

    def commit(self, database, body, bill):
        body = self.as_older(body)
        check_names(body, (*COMMON, "mode", "transaction", "singleUseTransaction", "mutations"))
        is_transactional = self.is_transactional(body)
        mutations = body.get("mutations") or []
        if len(mutations) > MUTATIONS_MAX:
            raise invalid(f"cannot write more than {MUTATIONS_MAX} entities in a single call")
        reader = Reader(database.project, database.name)
        made = [read_mutation(self.mutation_as_older(mutation, i), reader, f"mutations[{i}]")
                for i, mutation in enumerate(mutations)]
        with database.changed:
            transaction = None
            if body.get("transaction"):
                transaction = database.transaction(read_bytes(body["transaction"], "transaction"))
            for mutation in made:
                if mutation.key[1][-1][1] is None:
                    mutation.key, mutation.is_new_key = database.new_key(mutation.key), True
            plan = database.commit(made, transaction, is_transactional)
        bill["writes"] += plan.writes
        bill["deletes"] += plan.deletes
        answer = {}
        if made:
            answer["mutationResults"] = [self.mutation_result(database, plan, *result)
                                         for result in plan.results]
        if plan.index_updates:
            answer["indexUpdates"] = plan.index_updates
        if is_transactional:
            answer["commitTime"] = write_time(plan.time)
        return answer

    @staticmethod
    def is_transactional(body):
        mode = body.get("mode") or "TRANSACTIONAL"
        if mode not in ("TRANSACTIONAL", "NON_TRANSACTIONAL", 1, 2):
            raise invalid("Invalid value at 'mode' (type.googleapis.com/google.datastore.v1."
                          f'CommitRequest.Mode), "{mode}"')
        single = body.get("singleUseTransaction")
        if body.get("transaction") and single is not None:
            raise invalid("Invalid value (oneof), oneof field 'transaction_selector' is already "
                          "set. Cannot set 'singleUseTransaction'")
        if mode in ("NON_TRANSACTIONAL", 2):
            if body.get("transaction") or single is not None:
                raise invalid("A non-transactional commit must not have a transaction.")
            return False
        if not body.get("transaction") and single is None:
            raise invalid("A transactional commit must have a transaction.")
        if single is not None:
            check_names(single, ("readWrite", "readOnly"), "single_use_transaction")
            if single.get("readOnly") is not None:
                raise invalid("A single-use transaction must be read-write.")
        return True

    @staticmethod
    def mutation_result(database, plan, mutation, version, has_conflict, transform_results):
        made = {"version": str(version.number if version is not None else plan.number)}
        if mutation.is_new_key:
            made["key"] = write_key(mutation.key, database.project, database.name)
        if version is not None and version.properties is not None:
            made["createTime"] = write_time(version.created)
            made["updateTime"] = write_time(version.time)
        if has_conflict:
            made["conflictDetected"] = True
        if transform_results:
            made["transformResults"] = transform_results
        return made

    def as_older(self, body):
        if not self.settings["single_use"] and "singleUseTransaction" in body:
            if self.settings["unknown_fields"] == "refuse":
                raise unknown_name("singleUseTransaction", "")
            return {name: body[name] for name in body if name != "singleUseTransaction"}
        return body

    def mutation_as_older(self, mutation, number):
        for field, setting in OLDER.items():
            if not self.settings[setting] and field in mutation:
                if self.settings["unknown_fields"] == "refuse":
                    raise unknown_name(field, f"mutations[{number}]")
                mutation = {name: mutation[name] for name in mutation if name != field}
        return mutation

    # --- Ids --------------------------------------------------------------------------------------

    def allocate_ids(self, database, body, bill):
        check_names(body, (*COMMON, "keys"))
        made = []
        with database.changed:
            for given in body.get("keys") or []:
                key = read_key(given, database.project, database.name, True, True)
                if key[1][-1][1] is not None:
                    raise invalid("allocateIds needs incomplete keys.")
                made.append(write_key(database.new_key(key), database.project, database.name))
        return {"keys": made} if made else {}

    def reserve_ids(self, database, body, bill):
        check_names(body, (*COMMON, "keys"))
        for given in body.get("keys") or []:
            read_key(given, database.project, database.name, is_write=True)
        return {}

    def wipe(self, project=None, database=None, namespace=None, kind=None):
        for (of_project, name), found in list(self.databases.items()):
            if project in (None, of_project) and database in (None, name):
                with found.changed:
                    found.wipe(namespace, kind)


def read_mask(body):
    if body.get("propertyMask") is None:
        return None
    check_names(body["propertyMask"], ("paths",), "property_mask")
    return [path for text in body["propertyMask"].get("paths") or []
            if (path := read_path(text)) != ("__key__",)]
