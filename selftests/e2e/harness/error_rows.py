# SPDX-License-Identifier: MIT
"""docs/ERRORS.md as the tests and the lint read it: a row for each error."""
import re
from collections import namedtuple

Row = namedtuple("Row", "status http message")  # texts; status "*": it depends


def read(path):
    """Row by name."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return {name: Row(status, http, message) for name, status, http, message in re.findall(
        r"^\| `([A-Z_]+)` \| (\d+|\*) \| (\d+) \| `([^|]*)` \|.*\|$", text, re.M)}


def pattern(row):
    """The whole message as it is sent, for re.fullmatch."""
    fixed = re.split(r"\b(?:[A-Z]{2,}|[NM])\b(?!_)", row.message)
    return "sluice: " + ".+".join(re.escape(piece) for piece in fixed)
