"""The layer check finds what it is for."""
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def check(src):
    return subprocess.run([ROOT / "tools/layers.py", "--src", src], capture_output=True, text=True,
                          check=False, timeout=60)


def write(src, path, text):
    file = src / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_the_tree_keeps_its_layers():
    done = check(ROOT / "src")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path, text, why", [
    ("core/a.c", '#include "store/store.h"\n', "runs back"),
    ("base/a.h", '#include "core/health.h"\n', "runs back"),
    ("store/sqlite/a.c", '#include "cluster/worker.h"\n', "runs back"),
    ("cli/a.c", '#include "cluster/client.h"\n', "past <comrade.h>"),
    ("cli/a.c", '#include "agent/lifecycle.h"\n', "past <comrade.h>"),
    ("agent/a.c", "#include <comrade/store.h>\n", "<comrade.h> alone"),
    ("core/a.c", "# include <unistd.h>\n", "no I/O"),
    ("core/a.c", "#include <time.h>\n", "no clock"),
    ("core/a.c", '#include "base/log.h"\n', "does not log"),
    ("core/a.c", "void f(void)\n{\n    printf(\"x\");\n}\n", "no I/O"),
    ("cluster/a.c", "#include <sqlite3.h>\n", "only"),
    ("cluster/a.c", "long f(void)\n{\n    return time(0);\n}\n", "base/env.h"),
    ("cli/a.c", "int f(char *x)\n{\n    return atoi(x);\n}\n", "not used"),
    ("cli/a.c", '#include "a.h"\n', "begin with a layer"),
    ("network/a.c", "", "no layer"),
])
def test_a_bad_include_or_call_is_found(tmp_path, path, text, why):
    write(tmp_path, path, text)
    done = check(tmp_path)
    assert done.returncode == 1
    assert path in done.stdout and why in done.stdout


def test_what_is_allowed_is_not_found(tmp_path):
    write(tmp_path, "cli/run.c", '#include "agent/agent.h"\n#include <comrade.h>\n')
    write(tmp_path, "core/a.c", '#include "base/text.h"\n#include <stdio.h>\n'
                                '/* time() and printf() in words */\nchar *f = "time(0)";\n')
    write(tmp_path, "base/env.c", "long f(void)\n{\n    return time(0);\n}\n")
    done = check(tmp_path)
    assert done.returncode == 0, done.stdout
