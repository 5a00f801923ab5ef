"""docs/PROMISES.md names tests; each of them must exist."""
import re

from conftest import ROOT


def test_each_named_test_exists():
    named = set(re.findall(r"`([a-z0-9_]+_[a-z0-9_]+)`", (ROOT / "docs/PROMISES.md").read_text()))
    sources = [*ROOT.glob("tests/*/*.c"), *ROOT.glob("tests/integration/*.py")]
    text = "\n".join(source.read_text() for source in sources)
    defined = set(re.findall(r"^(?:static void|def) ([a-z0-9_]+)\(", text, re.M))
    unknown = {name for name in named - defined
               if not name.startswith("comrade_") and name != "is_budgeted"}
    assert not unknown
    assert len(named & defined) > 30
