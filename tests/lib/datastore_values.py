"""Keys, values and entities as Datastore's REST v1 has them in JSON: read, checked, written,
compared.

Inside, a key is (namespace, ((kind, id or name), …)): ids are int, names str, None where
incomplete. Properties are {name: value} of cleaned JSON values, which nobody changes afterwards, so
that versions and answers share them. Cleaned means what Google's JSON looks like: int64 as strings,
no defaults (false, 0, empty lists) outside a oneof, fractions of a second in 0, 3 or 6 digits.
"""
import base64
import binascii
import datetime
import functools
import math
import re

CODES = {"INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400,
         "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ABORTED": 409,
         "ALREADY_EXISTS": 409, "RESOURCE_EXHAUSTED": 429, "INTERNAL": 500, "UNIMPLEMENTED": 501,
         "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504}
NAME_BYTES, INDEXED_BYTES, LONG_BYTES = 1500, 1500, 1000000
ENTITY_BYTES, DEPTH_MAX, PATH_MAX = 1048572, 20, 100
INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
RESERVED = re.compile(r"__.*__", re.S)
DIMENSION = re.compile(r"[A-Za-z\d.\-_]{1,100}")
RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.I)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)


class Refusal(Exception):
    """What Google answers instead of a result."""

    def __init__(self, status, message, details=None, code=None):
        super().__init__(message)
        self.status, self.message, self.details = status, message, details
        self.code = code or CODES[status]

    def json(self):
        error = {"code": self.code, "message": self.message, "status": self.status}
        if self.details:
            error["details"] = self.details
        return {"error": error}


def invalid(message):
    return Refusal("INVALID_ARGUMENT", message)


def unknown_name(name, where):
    message = f'Invalid JSON payload received. Unknown name "{name}"'
    message += f" at '{where}': Cannot find field." if where else ": Cannot find field."
    field = {"description": message, **({"field": where} if where else {})}
    return Refusal("INVALID_ARGUMENT", message, [
        {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [field]}])


def check_names(message, known, where=""):
    """A message has no fields but the known."""
    if not isinstance(message, dict):
        raise invalid(f"Invalid value at '{where}'")
    for name in message:
        if name not in known:
            raise unknown_name(name, where)


def read_int64(value, where):
    if isinstance(value, bool) or not isinstance(value, (int, str, float)):
        raise invalid(f"Invalid value at '{where}' (TYPE_INT64), {value!r}")
    try:
        number = int(value)
    except (ValueError, OverflowError):
        raise invalid(f"Invalid value at '{where}' (TYPE_INT64), \"{value}\"") from None
    if number != (value if isinstance(value, float) else number) \
            or not INT64_MIN <= number <= INT64_MAX:
        raise invalid(f"Invalid value at '{where}' (TYPE_INT64), \"{value}\"")
    return number


def read_bytes(text, where):
    try:
        plain = text.rstrip("=").replace("-", "+").replace("_", "/")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (AttributeError, binascii.Error):
        raise invalid(f"Invalid value at '{where}' (TYPE_BYTES), Base64 decoding failed for "
                      f"\"{text}\"") from None


def write_bytes(data):
    return base64.b64encode(data).decode()


def read_time(text, where):
    """Microseconds since 1970; what is more precise is rounded down."""
    found = isinstance(text, str) and RFC3339.fullmatch(text)
    try:
        moment = datetime.datetime.fromisoformat(found[1] + found[3].upper().replace("Z", "+00:00"))
    except (TypeError, ValueError):
        raise invalid(f"Invalid value at '{where}' (type.googleapis.com/google.protobuf.Timestamp)"
                      f", Field '{where}', Illegal timestamp format") from None
    return (moment - EPOCH) // MICROSECOND + int((found[2] or "0").ljust(9, "0")[:6])


@functools.lru_cache(maxsize=10000)
def write_time(microseconds):
    seconds, fraction = divmod(microseconds, 1000000)
    text = (EPOCH + datetime.timedelta(seconds=seconds)).isoformat()[:19]
    if fraction % 1000:
        return f"{text}.{fraction:06}Z"
    return f"{text}.{fraction // 1000:03}Z" if fraction else f"{text}Z"


# --- Keys -----------------------------------------------------------------------------------------

def read_partition(partition, project, database, where="partitionId"):
    """The namespace. The partition must be of the request's project and database."""
    partition = partition or {}
    check_names(partition, ("projectId", "databaseId", "namespaceId"), where)
    if (said := partition.get("projectId") or project) != project:
        raise invalid(f"mismatched projects within request: expected '{project}', found '{said}'")
    # A partition without a project is completed; one with a project names its database, too.
    default = "" if partition.get("projectId") else database
    if (said := partition.get("databaseId") or default) != database:
        raise invalid(f"mismatched databases within request: expected '{database}', found '{said}'")
    namespace = partition.get("namespaceId") or ""
    if namespace and not DIMENSION.fullmatch(namespace):
        raise invalid(f'The namespace id "{namespace}" does not match the pattern '
                      f'"[A-Za-z\\d.\\-_]{{1,100}}".')
    return namespace


def read_key(key, project, database, may_be_incomplete=False, is_write=False, where="key"):
    check_names(key, ("partitionId", "path"), where)
    namespace = read_partition(key.get("partitionId"), project, database, where)
    elements = key.get("path") or []
    if not 0 < len(elements) <= PATH_MAX:
        raise invalid("a key path must have from 1 to 100 elements" if elements
                      else "The key path is empty.")
    path = tuple(read_element(element, is_write, where) for element in elements)
    for _, name in path if not may_be_incomplete else path[:-1]:
        if name is None:
            raise invalid("Key path is incomplete: "
                          f"[{', '.join(f'{kind}: {name}' for kind, name in path)}]")
    return namespace, path


def read_element(element, is_write, where):
    check_names(element, ("kind", "id", "name"), where)
    kind, name, number = element.get("kind"), element.get("name"), element.get("id")
    if not isinstance(kind, str) or not kind:
        raise invalid("The kind is the empty string.")
    check_name_length(kind, "kind")
    if name is None:
        if number is None:
            return kind, None
        number = read_int64(number, where)
        if number == 0:
            raise invalid("The key path element must not have an id of 0.")
        return kind, number
    if number is not None:
        raise invalid(f"Invalid value at '{where}' (oneof), oneof field 'id_type' is already set. "
                      "Cannot set 'name'")
    if not isinstance(name, str) or not name:
        raise invalid("The key path element name is the empty string.")
    check_name_length(name, "key path element name")
    if is_write and (kind.startswith("__") or name.startswith("__")) \
            and (RESERVED.fullmatch(kind) or RESERVED.fullmatch(name)):
        raise invalid(f'The key path element "{kind}: {name}" is reserved.')
    return kind, name


def check_name_length(text, what):
    if len(text) * 4 > NAME_BYTES and len(text.encode()) > NAME_BYTES:
        raise invalid(f"The {what} is longer than {NAME_BYTES} bytes.")


def write_key(key, project, database):
    namespace, path = key
    partition = {"projectId": project}
    if database:
        partition["databaseId"] = database
    if namespace:
        partition["namespaceId"] = namespace
    return {"partitionId": partition, "path": [
        {"kind": kind, "name": name} if isinstance(name, str) else
        {"kind": kind} if name is None else {"kind": kind, "id": str(name)} for kind, name in path]}


def key_order(key):
    """Ids come before names, ancestors before their children."""
    return key[0], tuple((kind, isinstance(name, str), name.encode() if isinstance(name, str)
                          else name) for kind, name in key[1])


def describe_key(key, project):
    """As Google's messages have it."""
    elements = "".join(
        f'  Element {{\n    type: "{kind}"\n    ' +
        (f'name: "{name}"' if isinstance(name, str) else f"id: {name}") + "\n  }\n"
        for kind, name in key[1])
    return f'app: "s~{project}"\npath <\n{elements}>\n'


# --- Entities -------------------------------------------------------------------------------------

class Reader:
    """Reads the entities of one request: cleans values, adds up sizes."""

    def __init__(self, project, database):
        self.project, self.database = project, database
        self.size = 0
        self.readers = {
            "nullValue": self.null, "booleanValue": self.boolean, "integerValue": self.integer,
            "doubleValue": self.double, "timestampValue": self.timestamp, "keyValue": self.key,
            "stringValue": self.string, "blobValue": self.blob, "geoPointValue": self.geo_point,
            "entityValue": self.entity, "arrayValue": self.array}

    def properties_of_entity(self, properties):
        """Those of a mutation's entity."""
        self.size = 0
        cleaned = self.properties(properties or {}, True, 0)
        if self.size > ENTITY_BYTES:
            raise invalid(f"The entity is too big: {self.size} bytes. The maximum is "
                          f"{ENTITY_BYTES} bytes.")
        return cleaned

    def properties(self, properties, is_indexed, depth):
        if not isinstance(properties, dict):
            raise invalid("Invalid value at 'entity.properties'")
        cleaned = {}
        for name, value in properties.items():
            if not name:
                raise invalid("The property name is the empty string.")
            check_name_length(name, "property name")
            if name.startswith("__") and RESERVED.fullmatch(name):
                raise invalid(f'The property name "{name}" is reserved.')
            self.size += len(name)
            cleaned[name] = self.value(name, value, is_indexed, depth)
        return cleaned

    def value(self, name, value, is_indexed=True, depth=0, in_array=False):
        if not isinstance(value, dict):
            raise invalid(f"Invalid value at '{name}' (type.googleapis.com/google.datastore.v1."
                          "Value)")
        kind, extra = None, {}
        for field in value:
            if field in self.readers:
                if kind is not None:
                    raise invalid(f"Invalid value at '{name}' (oneof), oneof field 'value_type' is "
                                  f"already set. Cannot set '{field}'")
                kind = field
            elif field not in ("excludeFromIndexes", "meaning"):
                raise unknown_name(field, name)
        if kind is None:
            raise invalid(f'The value of property "{name}" has no type.')
        if value.get("meaning"):
            extra["meaning"] = value["meaning"]
        if value.get("excludeFromIndexes"):
            is_indexed = False
            extra["excludeFromIndexes"] = True
        if kind == "arrayValue":
            if in_array:
                raise invalid("list_value cannot contain a Value containing another list_value.")
            if extra:
                raise invalid("list_value cannot be combined with exclude_from_indexes or meaning.")
        if value.get("meaning") == 18:
            raise invalid("The meaning 18 is not allowed.")
        self.size += 8
        return {kind: self.readers[kind](name, value[kind], is_indexed, depth), **extra}

    def null(self, name, value, is_indexed, depth):
        if value not in (None, "NULL_VALUE", 0):
            raise invalid(f"Invalid value at '{name}' (type.googleapis.com/google.protobuf."
                          f"NullValue), {value!r}")

    def boolean(self, name, value, is_indexed, depth):
        if not isinstance(value, bool):
            raise invalid(f"Invalid value at '{name}' (TYPE_BOOL), {value!r}")
        return value

    def integer(self, name, value, is_indexed, depth):
        return str(read_int64(value, name))

    def double(self, name, value, is_indexed, depth):
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise invalid(f"Invalid value at '{name}' (TYPE_DOUBLE), {value!r}")
        try:
            return write_double(float(value))
        except ValueError:
            raise invalid(f"Invalid value at '{name}' (TYPE_DOUBLE), {value!r}") from None

    def timestamp(self, name, value, is_indexed, depth):
        return write_time(read_time(value, name))

    def key(self, name, value, is_indexed, depth):
        key = read_key(value, self.project, self.database, where=name)
        self.size += sum(len(kind) + 8 for kind, _ in key[1])
        return write_key(key, self.project, self.database)

    def string(self, name, value, is_indexed, depth):
        if not isinstance(value, str):
            raise invalid(f"Invalid value at '{name}' (TYPE_STRING), {value!r}")
        self.check_length(name, len(value) if value.isascii() else len(value.encode()), is_indexed)
        return value

    def blob(self, name, value, is_indexed, depth):
        data = read_bytes(value, name)
        self.check_length(name, len(data), is_indexed)
        return write_bytes(data)

    def check_length(self, name, length, is_indexed):
        limit = INDEXED_BYTES if is_indexed else LONG_BYTES
        if length > limit:
            raise invalid(f'The value of property "{name}" is longer than {limit} bytes.')
        self.size += length

    def geo_point(self, name, value, is_indexed, depth):
        check_names(value, ("latitude", "longitude"), name)
        point = {part: write_double(float(number)) for part, number in value.items() if number}
        if not (abs(point.get("latitude", 0)) <= 90 and abs(point.get("longitude", 0)) <= 180):
            raise invalid(f'The value of property "{name}" is not a valid geographical point.')
        return point

    def entity(self, name, value, is_indexed, depth):
        check_names(value, ("key", "properties"), name)
        if depth + 1 > DEPTH_MAX:
            raise invalid(f"Entity values are nested more than {DEPTH_MAX} levels deep.")
        cleaned = {}
        if value.get("key"):
            cleaned["key"] = write_key(
                read_key(value["key"], self.project, self.database, True, where=name),
                self.project, self.database)
        if properties := self.properties(value.get("properties") or {}, is_indexed, depth + 1):
            cleaned["properties"] = properties
        return cleaned

    def array(self, name, value, is_indexed, depth):
        check_names(value, ("values",), name)
        values = [self.value(name, item, is_indexed, depth, True)
                  for item in value.get("values") or []]
        return {"values": values} if values else {}


def write_double(number):
    """As Google's JSON has it: 3.0 is 3, and what JSON has no number for is a string."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == int(number) and abs(number) < 1 << 53 and (number or math.copysign(1, number) > 0):
        return int(number)
    return number


# --- The order of values --------------------------------------------------------------------------

def value_order(value):
    """Something to compare values of any types by, in Datastore's order: null, then integers and
    timestamps, booleans, blobs and strings by their bytes, doubles, points, keys."""
    for kind, content in value.items():
        match kind:
            case "nullValue":
                return 0, 0
            case "integerValue":
                return 1, int(content)
            case "timestampValue":
                return 1, read_time(content, "")
            case "booleanValue":
                return 2, content
            case "stringValue":
                return 3, content.encode()
            case "blobValue":
                return 3, base64.b64decode(content)
            case "doubleValue":
                number = float(content)
                return 4, -math.inf if math.isnan(number) else number
            case "geoPointValue":
                return 5, (content.get("latitude", 0), content.get("longitude", 0))
            case "keyValue":
                partition = content["partitionId"]
                path = tuple((part["kind"], part.get("name", int(part.get("id", 0))))
                             for part in content["path"])
                return 6, key_order((partition.get("namespaceId", ""), path))
            case "entityValue":
                return 7, repr(content)
            case "arrayValue":
                return 8, repr(content)
    raise AssertionError(value)
