# SPDX-License-Identifier: MIT
"""Writes a config as YAML, the way a person would: block style, plain scalars where they can be."""
import re

_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./:@%+-]*")


def _scalar(value):
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if _PLAIN.fullmatch(value) and not value.endswith(":"):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _flow(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(v) for v in value) + "]"
    return _scalar(value)


def dump(value, indent=0):
    """value: dicts, lists and scalars. Maps in lists that hold only scalars are written in flow."""
    pad = "  " * indent
    lines = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            lines += [f"{pad}{key}:", dump(item, indent + 1)]
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            lines.append(f"{pad}{key}:")
            for entry in item:
                body = dump(entry, indent + 2)
                lines.append(f"{pad}  - {body[len(pad) + 4:]}")
        else:
            lines.append(f"{pad}{key}: {_flow(item)}")
    return "\n".join(lines)
