"""Queries: read from JSON, run on a database, answered in batches with cursors.

Only what is in an index is found: an entity without the property, or with one that is excluded from
indexes, is found by no filter and no order on it. A query that the built-in indexes (one for each
property, and their merge for equality) cannot answer is refused, as on the real thing. A cursor
holds the position after a result, not the entity, which may be gone when it is used.
"""
import functools
import hashlib
import itertools
import json

from datastore_mutations import masked, read_path
from datastore_values import (Reader, Refusal, check_names, invalid, key_order, read_bytes,
                              read_key, value_order, write_bytes, write_key, write_time)

EQUALITY = ("EQUAL", "IN", "HAS_ANCESTOR")
OPERATORS = (None, "LESS_THAN", "LESS_THAN_OR_EQUAL", "GREATER_THAN", "GREATER_THAN_OR_EQUAL",
             "EQUAL", "IN", None, None, "NOT_EQUAL", None, "HAS_ANCESTOR", None, "NOT_IN")
FIELDS = ("projection", "kind", "filter", "order", "distinctOn", "startCursor", "endCursor",
          "offset", "limit")
KEY = ("__key__",)


@functools.total_ordering
class Descending:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return self.value == other.value

    def __lt__(self, other):
        return other.value < self.value


class Row:
    """A result: an entity, or a combination of its projected values."""
    __slots__ = ("key", "version", "values", "projected", "position")

    def __init__(self, query, key, version, values, projected):
        self.key, self.version, self.values, self.projected = key, version, values, projected
        self.position = query.position(values, key)


class Query:
    def __init__(self, body, namespace, database):
        check_names(body, FIELDS, "query")
        self.namespace, self.database = namespace, database
        self.reader = Reader(database.project, database.name)
        kinds = body.get("kind") or []
        if len(kinds) > 1:
            raise invalid("A query may have at most one kind.")
        self.kind = kinds[0].get("name") if kinds else None
        self.filters = []  # (path, operator, operand) of all, for the choice of an index
        self.ancestor = None
        self.matches = self.read_filter(body["filter"]) if body.get("filter") else None
        self.order = [self.read_order(order) for order in body.get("order") or []]
        self.projection = [read_path(one.get("property", {}).get("name"))
                           for one in body.get("projection") or []]
        self.distinct = [read_path(one.get("name")) for one in body.get("distinctOn") or []]
        self.limit, self.offset = body.get("limit"), body.get("offset") or 0
        for count in (self.limit, self.offset):
            if count is not None and (not isinstance(count, int) or count < 0):
                raise invalid("The limit and the offset of a query must not be negative.")
        self.is_keys_only = self.projection == [KEY]
        self.complete_order()
        shape = json.dumps([namespace, self.kind, body.get("filter"), body.get("order"),
                            body.get("projection"), body.get("distinctOn")], sort_keys=True)
        self.digest = hashlib.sha256(shape.encode()).hexdigest()[:8]
        self.start = self.read_cursor(body.get("startCursor"))
        self.end = self.read_cursor(body.get("endCursor"))
        self.start_cursor = body.get("startCursor")

    # --- Reading ----------------------------------------------------------------------------------

    def read_order(self, order):
        check_names(order, ("property", "direction"), "query.order")
        direction = order.get("direction") or "ASCENDING"
        if direction not in ("ASCENDING", "DESCENDING", 1, 2):
            raise invalid("The direction of an order must be ASCENDING or DESCENDING.")
        return (read_path(order.get("property", {}).get("name")),
                direction in ("DESCENDING", 2))

    def read_filter(self, body):
        """A function (key, properties) that says whether an entity is found."""
        check_names(body, ("compositeFilter", "propertyFilter"), "query.filter")
        if body.get("propertyFilter"):
            return self.all_of([self.read_property_filter(body["propertyFilter"])], [])
        composite = body.get("compositeFilter") or {}
        check_names(composite, ("op", "filters"), "query.filter.composite_filter")
        children = composite.get("filters") or []
        if not children:
            raise invalid("A composite filter must have at least one filter.")
        if composite.get("op") in ("OR", 2):
            parts = [self.read_filter(child) for child in children]
            return lambda key, properties: any(part(key, properties) for part in parts)
        if composite.get("op") not in ("AND", 1):
            raise invalid("The operator of a composite filter must be AND or OR.")
        plain = [self.read_property_filter(child["propertyFilter"]) for child in children
                 if child.get("propertyFilter")]
        return self.all_of(plain, [self.read_filter(child) for child in children
                                   if not child.get("propertyFilter")])

    def read_property_filter(self, body):
        check_names(body, ("property", "op", "value"), "query.filter.property_filter")
        path, operator = read_path(body.get("property", {}).get("name")), body.get("op")
        if isinstance(operator, int) and 0 <= operator < len(OPERATORS):
            operator = OPERATORS[operator]
        if operator not in OPERATORS or operator is None:
            raise invalid(f'Invalid value at \'query.filter.property_filter.op\', "{operator}"')
        value = body.get("value") or {}
        if operator in ("IN", "NOT_IN"):
            values = value.get("arrayValue", {}).get("values") or []
            if not values or (operator == "NOT_IN" and len(values) > 10) or len(values) > 30:
                raise invalid(f"{operator} must have from 1 to {30 if operator == 'IN' else 10} "
                              "values.")
            operand = [self.operand(item) for item in values]
        else:
            operand = self.operand(value)
        if path == KEY or operator == "HAS_ANCESTOR":
            if any(kind != 6 for kind, _ in (operand if isinstance(operand, list) else [operand])):
                raise invalid("__key__ filter value must be a Key")
        if operator == "HAS_ANCESTOR":
            self.ancestor = read_key(value["keyValue"], self.database.project, self.database.name)
            operand = self.ancestor
        self.filters.append((path, operator, operand))
        return path, operator, operand

    def operand(self, value):
        return value_order(self.reader.value("value", value, is_indexed=False))

    @staticmethod
    def all_of(plain, parts):
        """Inequalities of one property must all hold for one and the same of its values."""
        ranges, others = {}, []
        for path, operator, operand in plain:
            if operator in EQUALITY:
                others.append((path, operator, operand))
            else:
                ranges.setdefault(path, []).append((operator, operand))

        def matches(key, properties):
            for path, operator, operand in others:
                if operator == "HAS_ANCESTOR":
                    if key[0] != operand[0] or key[1][:len(operand[1])] != operand[1]:
                        return False
                else:
                    wanted = operand if operator == "IN" else [operand]
                    if not any(value in wanted for value in indexed(key, properties, path)):
                        return False
            for path, bounds in ranges.items():
                if not any(all(COMPARE[operator](value, operand) for operator, operand in bounds)
                           for value in indexed(key, properties, path)):
                    return False
            return all(part(key, properties) for part in parts)
        return matches

    def complete_order(self):
        inequalities = []
        for path, operator, _ in self.filters:
            if operator not in EQUALITY and path not in inequalities:
                inequalities.append(path)
        self.check_index(inequalities)
        ordered = [path for path, _ in self.order]
        self.order += [(path, False) for path in inequalities if path not in ordered]
        self.sorts = [(path, is_down) for path, is_down in self.order if path != KEY]
        self.has_key_order = not self.sorts and all(not is_down for _, is_down in self.order)
        self.is_key_descending = any(path == KEY and is_down for path, is_down in self.order)

    def check_index(self, inequalities):
        equalities = {path for path, operator, _ in self.filters if operator in ("EQUAL", "IN")}
        sorts = [(path, is_down) for path, is_down in self.order if path not in equalities]
        sorted_paths = [path for path, _ in sorts]
        sorts += [(path, False) for path in inequalities if path not in sorted_paths]
        sorts += [(path, False) for path in self.projection
                  if path != KEY and path not in [found for found, _ in sorts]]
        while sorts and sorts[-1] == (KEY, False):
            sorts.pop()
        if self.kind is None and any(path != KEY for path in [*equalities, *(p for p, _ in sorts)]):
            raise invalid("kind is required for all queries that filter or sort on a property.")
        if not self.database.settings["require_indexes"]:
            return
        is_complex = len(sorts) > 1 or (sorts and (equalities - {KEY} or self.ancestor is not None)
                                        and sorts != [(KEY, False)]) or sorts == [(KEY, True)]
        wanted = (self.kind, self.ancestor is not None,
                  tuple(sorted(".".join(path) for path in equalities - {KEY})),
                  tuple((".".join(path), is_down) for path, is_down in sorts))
        if is_complex and index_line(wanted) not in self.database.settings["indexes"]:
            raise Refusal("FAILED_PRECONDITION", "no matching index found. recommended index is:\n"
                          + describe_index(wanted))

    # --- Cursors ----------------------------------------------------------------------------------

    def position(self, values, key):
        made = [Descending(value_order(value)) if is_down else value_order(value)
                for value, (_, is_down) in zip(values, self.sorts)]
        made += [value_order(value) for value in values[len(self.sorts):]]
        order = key_order(key)
        return (*made, Descending(order) if self.is_key_descending else order)

    def cursor(self, row):
        content = [self.digest, row.values, row.key] if row is not None else [self.digest]
        return write_bytes(json.dumps(content).encode())

    def read_cursor(self, cursor):
        if not cursor:
            return None
        try:
            digest, *content = json.loads(read_bytes(cursor, "cursor"))
            if digest != self.digest:
                raise invalid("The cursor belongs to another query.")
            if not content:
                return None
            values, (namespace, path) = content
            return self.position(values, (namespace, tuple((kind, name) for kind, name in path)))
        except (ValueError, TypeError):
            raise invalid("The query's cursor is not valid.") from None

    # --- Running ----------------------------------------------------------------------------------

    def would_find(self, key, properties):
        if properties is None or key[0] != self.namespace or self.kind not in (None, key[1][-1][0]):
            return False
        return (self.matches is None or self.matches(key, properties)) and all(
            path == KEY or indexed(key, properties, path) for path, _ in self.order)

    def rows(self, moment):
        after = self.start[0] if self.start is not None and self.has_key_order \
            and not self.row_paths() else None
        found = self.entities(moment, after)
        if self.has_key_order and not self.row_paths():
            return found
        rows = sorted(found, key=lambda row: row.position)
        return iter(self.only_distinct(rows) if self.distinct else rows)

    def row_paths(self):
        return [] if self.is_keys_only else [path for path in self.projection if path != KEY]

    def entities(self, moment, after):
        paths = self.row_paths()
        for key, version in self.database.scan(self.namespace, self.kind, moment, after):
            if self.matches is not None and not self.matches(key, version.properties):
                continue
            values = []
            for path, is_down in self.sorts:
                if path in paths:
                    continue
                found = indexed_values(version.properties, path)
                if not found:
                    break
                values.append((max if is_down else min)(found, key=value_order))
            else:
                yield from self.rows_of(key, version, values, paths)

    def rows_of(self, key, version, values, paths):
        if not paths:
            yield Row(self, key, version, values, None)
            return
        choices = [indexed_values(version.properties, path) for path in paths]
        for combination in itertools.product(*choices):
            chosen = dict(zip(paths, combination))
            rest = iter(values)
            ordered = [chosen[path] if path in chosen else next(rest) for path, _ in self.sorts]
            sorted_paths = [path for path, _ in self.sorts]
            ordered += [value for path, value in chosen.items() if path not in sorted_paths]
            yield Row(self, key, version, ordered, chosen)

    def only_distinct(self, rows):
        seen = set()
        for row in rows:
            mark = tuple(value_order(row.projected[path]) for path in self.distinct)
            if mark not in seen:
                seen.add(mark)
                yield row

    def run(self, moment, batch_max):
        """A batch as (rows, rows skipped, the last row or None, more_results)."""
        rows, skipped, last = [], 0, None
        for row in self.rows(moment):
            if self.start is not None and not self.start < row.position:
                continue
            if self.end is not None and self.end < row.position:
                return rows, skipped, last, "MORE_RESULTS_AFTER_CURSOR"
            if skipped < self.offset:
                skipped, last = skipped + 1, row
                continue
            if self.limit is not None and len(rows) >= self.limit:
                break
            if len(rows) >= batch_max:
                return rows, skipped, last, "NOT_FINISHED"
            rows.append(row)
            last = row
        is_limited = self.limit is not None and len(rows) >= self.limit
        return rows, skipped, last, "MORE_RESULTS_AFTER_LIMIT" if is_limited else "NO_MORE_RESULTS"

    def answer(self, moment, batch_max, mask=None):
        """QueryResultBatch, and the rows for whoever locks or counts them."""
        rows, skipped, last, more = self.run(moment, batch_max)
        kind = "KEY_ONLY" if self.is_keys_only else "PROJECTION" if self.projection else "FULL"
        batch = {"entityResultType": kind, "moreResults": more,
                 "endCursor": self.cursor(last) if last or not self.start_cursor
                 else self.start_cursor}
        if skipped:
            batch["skippedResults"] = skipped
            batch["skippedCursor"] = self.cursor(last)
        if rows:
            batch["entityResults"] = [{**self.result(row, kind, mask), "cursor": self.cursor(row)}
                                      for row in rows]
        batch["readTime"] = write_time(moment)
        batch["snapshotVersion"] = str(moment)
        return batch, rows

    def result(self, row, kind, mask):
        entity = {"key": write_key(row.key, self.database.project, self.database.name)}
        if kind == "KEY_ONLY":
            return {"entity": entity}
        if kind == "PROJECTION":
            entity["properties"] = {
                ".".join(path): {name: content for name, content in value.items()
                                 if name != "excludeFromIndexes"}
                for path, value in row.projected.items()}
            return {"entity": entity}
        return write_result(row.key, row.version, self.database, mask)


COMPARE = {
    "LESS_THAN": lambda value, operand: value < operand,
    "LESS_THAN_OR_EQUAL": lambda value, operand: value <= operand,
    "GREATER_THAN": lambda value, operand: value > operand,
    "GREATER_THAN_OR_EQUAL": lambda value, operand: value >= operand,
    "NOT_EQUAL": lambda value, operand: value != operand,
    "NOT_IN": lambda value, operand: value not in operand,
}


def write_result(key, version, database, mask=None):
    """An EntityResult that is FULL. mask: paths, or None for all properties."""
    entity = {"key": write_key(key, database.project, database.name)}
    properties = version.properties
    if mask is not None:
        properties = masked({}, properties, mask)
    if properties:
        entity["properties"] = properties
    return {"entity": entity, "version": str(version.number),
            "createTime": write_time(version.created), "updateTime": write_time(version.time)}


def indexed_values(properties, path):
    """The values of a property that are in its index: each one of an array."""
    for name in path[:-1]:
        value = properties.get(name)
        if value is None or value.get("excludeFromIndexes") or "entityValue" not in value:
            return []
        properties = value["entityValue"].get("properties", {})
    value = properties.get(path[-1])
    if value is None:
        return []
    values = value["arrayValue"].get("values", []) if "arrayValue" in value else [value]
    return [one for one in values if not one.get("excludeFromIndexes") and "entityValue" not in one]


def indexed(key, properties, path):
    """The same, as what they are compared by; __key__ is a property, too."""
    if path == KEY:
        return [(6, key_order(key))]
    return [value_order(value) for value in indexed_values(properties, path)]


def index_line(wanted):
    """One line for an index, as the control command `index` takes it."""
    kind, has_ancestor, equalities, sorts = wanted
    return " ".join([kind or "*", *(["ancestor"] if has_ancestor else []), *equalities,
                     *(f"{name}:desc" if is_down else name for name, is_down in sorts)])


def describe_index(wanted):
    kind, has_ancestor, equalities, sorts = wanted
    lines = [f"- kind: {kind}", *(["  ancestor: yes"] if has_ancestor else []), "  properties:"]
    lines += [f"  - name: {name}" for name in equalities]
    for name, is_down in sorts:
        lines += [f"  - name: {name}", *(["    direction: desc"] if is_down else [])]
    return "\n".join(lines) + "\n"


def aggregate(query, body, moment):
    """The aggregate properties of the results."""
    rows = list(itertools.islice(query.rows(moment), query.offset, None))
    if query.limit is not None:
        rows = rows[:query.limit]
    made = {}
    for number, one in enumerate(body.get("aggregations") or [], 1):
        check_names(one, ("count", "sum", "avg", "alias"), "aggregation_query.aggregations")
        alias = one.get("alias") or f"property_{number}"
        if one.get("count") is not None:
            up_to = one["count"].get("upTo")
            total = len(rows) if up_to is None else min(len(rows), int(up_to))
            made[alias] = {"integerValue": str(total)}
            continue
        kind = "sum" if one.get("sum") is not None else "avg"
        path = read_path(one[kind].get("property", {}).get("name"))
        numbers = [value for row in rows for value in indexed_values(row.version.properties, path)
                   if "integerValue" in value or "doubleValue" in value]
        total = sum(int(value["integerValue"]) if "integerValue" in value
                    else float(value["doubleValue"]) for value in numbers)
        if kind == "avg":
            made[alias] = {"doubleValue": total / len(numbers)} if numbers else {"nullValue": None}
        else:
            made[alias] = ({"integerValue": str(total)} if isinstance(total, int)
                           else {"doubleValue": total})
    if not 1 <= len(made) <= 5:
        raise invalid("An aggregation query must have from 1 to 5 aggregations.")
    return made
