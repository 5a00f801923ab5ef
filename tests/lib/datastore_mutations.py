"""Mutations: read from JSON, and applied to the properties of an entity: masks and transforms."""
import dataclasses
import functools
import math

from datastore_values import (INT64_MAX, INT64_MIN, RESERVED, Refusal, check_names, describe_key,
                              invalid, read_int64, read_key, read_time, value_order, write_double,
                              write_time)

OPERATIONS = ("insert", "update", "upsert", "delete")
FIELDS = (*OPERATIONS, "baseVersion", "updateTime", "conflictResolutionStrategy", "propertyMask",
          "propertyTransforms")
TRANSFORMS = ("setToServerValue", "increment", "maximum", "minimum", "appendMissingElements",
              "removeAllFromArray")
# Of two mutations of one entity in a transaction.
FORBIDDEN_SEQUENCES = {("insert", "insert"), ("update", "insert"), ("upsert", "insert"),
                       ("delete", "update")}


@dataclasses.dataclass(slots=True)
class Mutation:
    operation: str
    key: tuple
    properties: dict | None
    is_new_key: bool = False  # the server completed it
    base_version: int | None = None
    update_time: int | None = None
    fails_on_conflict: bool = False
    mask: list | None = None
    transforms: list = dataclasses.field(default_factory=list)

    def conflicts_with(self, current, settings):
        """current: the Version, or None where there is no entity."""
        if self.base_version is None and self.update_time is None:
            return False
        if current is None:
            return settings["missing_conflicts"] or self.operation != "update"
        if self.base_version is not None:
            return current.number != self.base_version
        return current.time != self.update_time


def read_mutation(mutation, reader, where):
    check_names(mutation, FIELDS, where)
    operations = [name for name in OPERATIONS if mutation.get(name) is not None]
    if len(operations) != 1:
        raise invalid(f"Invalid value at '{where}' (oneof), oneof field 'operation' is already set."
                      f" Cannot set '{operations[1]}'" if operations else
                      "The mutation has no operation.")
    operation = operations[0]
    entity = mutation[operation]
    if operation == "delete":
        made = Mutation(operation, read_key(entity, reader.project, reader.database, is_write=True),
                        None)
    else:
        check_names(entity, ("key", "properties"), f"{where}.{operation}")
        if not entity.get("key"):
            raise invalid("The entity has no key.")
        key = read_key(entity["key"], reader.project, reader.database, operation != "update", True)
        made = Mutation(operation, key, reader.properties_of_entity(entity.get("properties")))
        read_mask_and_transforms(made, mutation, reader, where)
    read_detection(made, mutation, where)
    return made


def read_detection(made, mutation, where):
    if mutation.get("baseVersion") is not None:
        made.base_version = read_int64(mutation["baseVersion"], f"{where}.base_version")
    if mutation.get("updateTime") is not None:
        if made.base_version is not None:
            raise invalid(f"Invalid value at '{where}' (oneof), oneof field "
                          "'conflict_detection_strategy' is already set. Cannot set 'updateTime'")
        made.update_time = read_time(mutation["updateTime"], f"{where}.update_time")
    match mutation.get("conflictResolutionStrategy"):
        case None | "STRATEGY_UNSPECIFIED" | 0:
            return
        case "SERVER_VALUE" | 1:
            pass
        case "FAIL" | 3:
            made.fails_on_conflict = True
        case other:
            raise invalid(f"Invalid value at '{where}.conflict_resolution_strategy' (google."
                          f'datastore.v1.Mutation.ConflictResolutionStrategy), "{other}"')
    if made.base_version is None and made.update_time is None:
        raise invalid("A conflict resolution strategy cannot be set without a conflict detection "
                      "strategy.")


def read_mask_and_transforms(made, mutation, reader, where):
    if mutation.get("propertyMask") is not None:
        check_names(mutation["propertyMask"], ("paths",), f"{where}.property_mask")
        made.mask = [path for text in mutation["propertyMask"].get("paths") or []
                     if (path := read_path(text)) != ("__key__",)]
    for transform in mutation.get("propertyTransforms") or []:
        check_names(transform, ("property", *TRANSFORMS), f"{where}.property_transforms")
        kinds = [kind for kind in TRANSFORMS if transform.get(kind) is not None]
        if len(kinds) != 1:
            raise invalid("A property transform must have one transformation.")
        made.transforms.append((read_path(transform.get("property")), kinds[0],
                                read_operand(kinds[0], transform[kinds[0]], reader)))


def read_operand(kind, operand, reader):
    if kind == "setToServerValue":
        if operand not in ("REQUEST_TIME", 1):
            raise invalid("The server value of a property transform must be REQUEST_TIME.")
        return None
    if kind in ("increment", "maximum", "minimum"):
        value = reader.value(kind, operand)
        if number_of(value) is None:
            raise invalid(f"The value of {kind} must be an integer or a double.")
        return value
    return reader.array(kind, operand, True, 0).get("values", [])


def read_path(text):
    """The names of a property path: separated by dots; a backslash makes the next one plain."""
    if not isinstance(text, str) or not text:
        raise invalid("The property path is empty.")
    return split_path(text)


@functools.lru_cache(maxsize=10000)
def split_path(text):
    names, name, is_escaped = [], "", False
    for character in text:
        if is_escaped:
            if character not in ".\\":
                raise invalid(f'The property path "{text}" is not valid.')
            name += character
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        elif character == ".":
            names.append(name)
            name = ""
        else:
            name += character
    names.append(name)
    if is_escaped or "" in names:
        raise invalid(f'The property path "{text}" is not valid.')
    for name in names:
        if RESERVED.fullmatch(name) and names != ["__key__"]:
            raise invalid(f'The property name "{name}" is reserved.')
    return tuple(names)


def check_sequence(mutations, is_transactional):
    last = {}
    for mutation in mutations:
        before = last.get(mutation.key)
        if before is not None:
            if not is_transactional:
                raise invalid("A non-transactional commit may not contain multiple mutations "
                              "affecting the same entity.")
            if (before, mutation.operation) in FORBIDDEN_SEQUENCES:
                raise invalid(f"A commit may not contain {before} followed by {mutation.operation} "
                              "of the same entity.")
        last[mutation.key] = mutation.operation


def apply_mutation(mutation, current, request_time, project):
    """The properties afterwards (None: there is no entity), and the transforms' results."""
    if mutation.operation == "delete":
        return None, []
    if mutation.operation == "insert" and current is not None:
        raise Refusal("ALREADY_EXISTS", "entity already exists: "
                      + describe_key(mutation.key, project))
    if mutation.operation == "update" and current is None:
        raise Refusal("NOT_FOUND", "no entity to update: " + describe_key(mutation.key, project))
    properties = mutation.properties
    if mutation.mask is not None:
        properties = masked(current.properties if current is not None else {}, properties,
                            mutation.mask)
    results = []
    for path, kind, operand in mutation.transforms:
        made, result = transform(kind, get_path(properties, path), operand, request_time)
        properties = set_path(properties, path, made)
        results.append(result)
    return properties, results


# --- Paths ----------------------------------------------------------------------------------------

def masked(old, new, mask):
    """old, where the paths of the mask are as in new: absent if they are absent there."""
    for path in mask:
        value = get_path(new, path)
        old = set_path(old, path, value) if value is not None else without_path(old, path)
    return old


def inner(properties, name):
    """The properties of the embedded entity of that name, or None."""
    value = properties.get(name)
    if value is None or "entityValue" not in value:
        return None
    return value["entityValue"].get("properties", {})


def with_inner(properties, name, changed):
    value = properties.get(name)
    if value is None or "entityValue" not in value:
        value = {"entityValue": {}}
    entity = {part: kept for part, kept in value["entityValue"].items() if part != "properties"}
    if changed:
        entity["properties"] = changed
    return {**properties, name: {**value, "entityValue": entity}}


def get_path(properties, path):
    for name in path[:-1]:
        properties = inner(properties, name)
        if properties is None:
            return None
    return properties.get(path[-1])


def set_path(properties, path, value):
    if len(path) == 1:
        return {**properties, path[0]: value}
    return with_inner(properties, path[0],
                      set_path(inner(properties, path[0]) or {}, path[1:], value))


def without_path(properties, path):
    if len(path) == 1:
        return {name: value for name, value in properties.items() if name != path[0]}
    within = inner(properties, path[0])
    if within is None:
        return properties
    return with_inner(properties, path[0], without_path(within, path[1:]))


# --- Transforms -----------------------------------------------------------------------------------

def transform(kind, value, operand, request_time):
    """The property's new value, and what the answer says of it."""
    if kind == "setToServerValue":
        made = {"timestampValue": write_time(request_time)}
        return made, made
    if kind in ("increment", "maximum", "minimum"):
        if value is None or number_of(value) is None:
            return operand, operand
        made = increment(value, operand) if kind == "increment" else extreme(kind, value, operand)
        return made, made
    values = value["arrayValue"].get("values", []) if value and "arrayValue" in value else []
    if kind == "appendMissingElements":
        values = list(values)
        for item in operand:
            if not any(are_equivalent(item, present) for present in values):
                values.append(item)
    else:
        values = [item for item in values
                  if not any(are_equivalent(item, removed) for removed in operand)]
    return {"arrayValue": {"values": values} if values else {}}, {"nullValue": None}


def number_of(value):
    if "integerValue" in value:
        return int(value["integerValue"])
    return float(value["doubleValue"]) if "doubleValue" in value else None


def increment(value, operand):
    if "integerValue" in value and "integerValue" in operand:
        total = number_of(value) + number_of(operand)
        return {"integerValue": str(max(INT64_MIN, min(INT64_MAX, total)))}
    return {"doubleValue": write_double(float(number_of(value)) + float(number_of(operand)))}


def extreme(kind, value, operand):
    stored, given = number_of(value), number_of(operand)
    if math.isnan(stored) or math.isnan(given):
        return {"doubleValue": "NaN"}
    is_better = given > stored if kind == "maximum" else given < stored
    return operand if is_better else value


def are_equivalent(one, other):
    if number_of(one) is not None and number_of(other) is not None:
        a, b = number_of(one), number_of(other)
        return a == b or (math.isnan(a) and math.isnan(b))
    return one.keys() - {"excludeFromIndexes"} == other.keys() - {"excludeFromIndexes"} \
        and value_order(one) == value_order(other)
