"""The mutants: one way each to break the code, and the case that must notice.

To add one: a row. `old` stands exactly once in `file`; `case` is the cmocka case of `executable`
(FOLDER_FILE, see tests/CMakeLists.txt) that fails because of it, and for that reason.
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    name: str
    breaks: str  # which promise or rule, in words
    file: str
    old: str
    new: str
    executable: str
    case: str


MUTANTS = (
    Mutant("control-characters-pass", "bad input never reaches a terminal unescaped",
           "src/base/text.c", "return rune < 0x20 ||", "return rune < 0x01 ||",
           "unit_text_test", "a_terminal_escape_is_shown_escaped"),
)
