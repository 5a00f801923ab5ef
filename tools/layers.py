#!/usr/bin/python3
"""Fails when an #include in src/ runs against the layers, or a name reaches around them.

    base <- core <- store <- cluster <- {agent, serve, cli, bindings}

A file includes its own layer and those below it. To allow more: a row in one of the tables, with
its reason.
"""
import argparse
import pathlib
import re
import sys

BELOW = {
    "base": (),
    "core": ("base",),
    "store": ("base", "core"),
    "cluster": ("base", "core", "store"),
    # Programs use what every user has, <comrade.h>, and the pure helpers; not the layers between.
    "agent": ("base", "core"),
    "serve": ("base", "core"),
    "cli": ("base", "core"),
}
# Single headers beyond that.
ALSO = {
    "cli": ("agent/agent.h",),  # `comrade run` is a verb like the others
}

# core decides and does nothing: no I/O, no clock, no log. <stdio.h> is for snprintf; see below.
CORE_MAY = {"assert.h", "ctype.h", "errno.h", "inttypes.h", "limits.h", "math.h", "stdarg.h",
            "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h",
            "comrade.h", "comrade/store.h", "jansson.h"}
CORE_MAY_NOT = {"base/log.h": "core does not log"}
# The driver's interface is for those who drive stores.
STORE_HEADER = {"base", "core", "store", "cluster"}
# Libraries that one place alone may know, so that they can be exchanged there.
ONLY_IN = {
    "sqlite3.h": ("store/sqlite/",),
    "libpq-fe.h": ("store/postgres/",),
    "curl/curl.h": ("store/datastore/",),
    "histedit.h": ("cli/",),
    "editline/readline.h": ("cli/",),
}

CLOCKS = r"\b(clock_gettime|gettimeofday|time|getrandom|rand|random|srand|getentropy)\s*\("
FORBIDDEN_CALLS = (
    # (who, but for, what, why)
    (r"^core/", None, r"\b(printf|fprintf|vprintf|puts|perror|fopen|fwrite|fputs|open|read|write|"
     r"getenv|system|popen|socket|poll|sleep|usleep|abort|exit)\s*\(", "core does no I/O"),
    # A condition variable waits by the kernel's clock, whatever a test makes of env's.
    (r"", r"^(base/env|cluster/call)\.c$", CLOCKS, "clocks and randomness come through base/env.h"),
    (r"", None, r"\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|alloca|gets)\s*\(",
     "this function is not used in this project"),
)

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def judge_include(path, layer, is_quoted, header):
    """Why may this file not include this header? None: it may."""
    if not is_quoted:
        if layer == "core" and header not in CORE_MAY:
            return f"core may not include <{header}>: no I/O, no clock, no log"
        if header == "comrade/store.h" and layer not in STORE_HEADER:
            return f"{layer} uses <comrade.h> alone, not the drivers' <comrade/store.h>"
        places = ONLY_IN.get(header)
        if places and not path.startswith(places):
            return f"<{header}> may be included in {', '.join(places)} only"
        return None
    target = header.split("/")[0]
    if target not in BELOW:
        return f'"{header}" does not begin with a layer (includes are written from src/)'
    if layer == "core" and header in CORE_MAY_NOT:
        return CORE_MAY_NOT[header]
    if target == layer or target in BELOW[layer] or header in ALSO.get(layer, ()):
        return None
    return f'{layer} may not include "{header}": the arrow runs back, or past <comrade.h>'


def findings_in(source, path):
    layer = path.split("/")[0]
    if layer not in BELOW:
        yield 1, f"there is no layer '{layer}'"
        return
    text = source.read_text()
    for number, line in enumerate(text.splitlines(), 1):
        if found := INCLUDE.match(line):
            if why := judge_include(path, layer, found.group(1) == '"', found.group(2)):
                yield number, why
    code = NOT_CODE.sub(blank, text)
    for who, but_for, what, why in FORBIDDEN_CALLS:
        if re.search(who, path) and not (but_for and re.search(but_for, path)):
            for found in re.finditer(what, code):
                yield code.count("\n", 0, found.start()) + 1, f"{found.group(1)}(): {why}"


def main():
    parser = argparse.ArgumentParser(description="Checks the layers of src/.")
    parser.add_argument("--src", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent / "src")
    src = parser.parse_args().src
    n_files = n_findings = 0
    for source in sorted(src.rglob("*.[ch]")):
        n_files += 1
        path = source.relative_to(src).as_posix()
        for line, why in findings_in(source, path):
            n_findings += 1
            print(f"{source}:{line}: {why}")
    print(f"layers: {n_files} files, {n_findings} findings")
    return 1 if n_findings or not n_files else 0


if __name__ == "__main__":
    sys.exit(main())
