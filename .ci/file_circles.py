#!/usr/bin/env python3
"""Counts circles of files that use each other. Fails if there are more than CONTRIBUTING.md allows.

A file uses another if it names one of its items by a path (`use super::queue::Queue`,
`crate::config::parse()`), directly or through a `pub use` of a `mod.rs`. Neither `mod child;` nor
anything from a `#[cfg(test)]` module on counts.
"""
import re
import sys
from pathlib import Path

CRATES = ["amqp", "service-kit", "order-service", "outbox-relay", "outbox-writer", "customer-service", "stack", "xtask", "bench", "chaos", "fuzz-http"]
PATH = re.compile(r"\b(?:crate|self|super)(?:::(?:super|\w+|\{[^;]*?\}|\*))+", re.S)


def modules(source):
    """The file of each module of the crate."""
    found = {}
    for file in source.rglob("*.rs"):
        parts = list(file.relative_to(source).with_suffix("").parts)
        if parts[-1] in ("mod", "lib", "main"):
            parts.pop()
        found.setdefault(tuple(parts), file)
    return found


def code(file):
    text = re.sub(r"//[^\n]*", "", file.read_text())
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', text)
    return re.split(r"#\[cfg\((?:all\()?test\b[^\]]*\]\s*mod \w+ \{", text)[0]


def expand(path):
    """The paths in `a::{b, c::{d, e}}`."""
    head, brace, rest = path.partition("{")
    if not brace:
        return [path.split(" as ")[0].strip()]
    depth, start, items = 0, 0, []
    inner = rest[: rest.rindex("}")]
    for at, char in enumerate(inner + ","):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "," and depth == 0:
            items.append(inner[start:at].strip())
            start = at + 1
    return [single for item in items if item for single in expand(head + item)]


def resolve(path, module, known, exports, seen=()):
    """The file that defines `path` as used in `module`; None outside of the crate."""
    parts = path.split("::")
    at = () if parts[0] == "crate" else module
    parts = parts[1:] if parts[0] in ("crate", "self") else parts
    while parts and parts[0] == "super":
        at, parts = at[:-1], parts[1:]
    while parts and at + (parts[0],) in known:
        at, parts = at + (parts[0],), parts[1:]
    exported = exports.get(at, {}).get(parts[0]) if parts else None
    if exported and (at, parts[0]) not in seen:
        return resolve(exported, at, known, exports, (*seen, (at, parts[0]))) or known.get(at)
    return known.get(at) if parts else None


def uses(source):
    known = modules(source)
    texts = {module: code(file) for module, file in known.items()}
    exports = {}
    for module, text in texts.items():
        for statement in re.findall(r"\bpub(?:\([a-z]+\))? use ([^;]+);", text):
            for path in expand(statement):
                first = path.split("::")[0]
                path = path if first in ("crate", "self", "super") else "self::" + path
                exports.setdefault(module, {})[path.split("::")[-1]] = path
    arrows = {}
    for module, text in texts.items():
        if module and module[-1] == "tests":
            continue
        text = re.sub(r"\bpub(?:\([a-z]+\))? use [^;]+;", "", text)
        targets = (resolve(p, module, known, exports) for m in PATH.findall(text) for p in expand(m))
        arrows[known[module]] = {file for file in targets if file and file != known[module]}
    return arrows


def circles(arrows):
    """The strongly connected components of more than one file (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(file):
        index[file] = low[file] = len(index)
        stack.append(file)
        for target in arrows.get(file, ()):
            if target not in index:
                visit(target)
                low[file] = min(low[file], low[target])
            elif target in stack:
                low[file] = min(low[file], index[target])
        if low[file] == index[file]:
            circle = []
            while not circle or circle[-1] != file:
                circle.append(stack.pop())
            if len(circle) > 1:
                found.append(sorted(circle))

    for file in sorted(arrows):
        if file not in index:
            visit(file)
    return found


def main():
    sys.setrecursionlimit(10_000)
    allowed = re.search(r"Circles of files: (\d+)", Path("CONTRIBUTING.md").read_text())
    if not allowed:
        sys.exit("CONTRIBUTING.md has no line `Circles of files: NUMBER`")
    found = []
    for crate in CRATES:
        arrows = uses(Path(crate) / "src")
        for circle in circles(arrows):
            found.append(circle)
            print(f"a circle of {len(circle)} files:")
            for file in circle:
                print(f"  {file} uses {', '.join(str(t.name) for t in sorted(arrows[file]) if t in circle)}")
    print(f"{len(found)} circles of files, {allowed[1]} allowed")
    sys.exit(len(found) > int(allowed[1]))


main()
