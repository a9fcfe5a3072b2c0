"""Compares the metrics of running programs with the table of metrics in the runbook, which names
all of them, with alerts.yml and with the dashboards. Also checks the runbook links of alerts.yml,
and lints the metrics with promtool, which must be in PATH.

Usage: check.py OPS_URL...
"""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import yaml

HERE = Path(__file__).parent
DASHBOARDS = HERE.parent / "grafana/dashboards"
RUNBOOK = HERE.parents[1] / "docs/operations.md"
# Metrics that Prometheus adds for each process that it scrapes.
OF_PROMETHEUS = {"up"}
KEYWORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "le"}
SERIES_OF = {"histogram": ("_bucket", "_sum", "_count")}


def metrics_in(expression):
    """The names of the metrics in a PromQL expression."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]', "", re.sub(r'"[^"]*"', "", expression))
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", "", bare)
    return set(re.findall(r"\b[a-z_:][a-z0-9_:]*\b(?!\s*\()", bare)) - KEYWORDS - OF_PROMETHEUS


def exported(text):
    """The metrics that a program exports: type and labels by name."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    base = {name + ending: name for name, kind in kinds.items() for ending in SERIES_OF.get(kind, ("",))}
    labels = {name: set() for name in kinds}
    for series, given in re.findall(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        labels[base[series]] |= set(re.findall(r'(\w+)="(?:[^"\\]|\\.)*"', given)) - {"le"}
    return {name: (kind, labels[name]) for name, kind in kinds.items()}


def described():
    """The metrics of each program in the runbook's table, in the same form."""
    section = RUNBOOK.read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    programs = {}
    for line in re.findall(r"^\| `.*\|$", section, re.MULTILINE):
        name, kind, labels, shown_by, _unit, _what = (cell.strip() for cell in line.strip("|").split("|"))
        for program in shown_by.split(", "):
            programs.setdefault(program, {})[name.strip("`")] = (kind, set(re.findall(r"`(\w+)`", labels)))
    return programs


def differences(program, shown, table):
    """The differences between a program's metrics and the table."""
    faults = [f"{program} exports {name}, which the table of metrics does not name" for name in sorted(shown.keys() - table.keys())]
    faults += [f"the table of metrics names {name}, which {program} does not export" for name in sorted(table.keys() - shown.keys())]
    for name in sorted(shown.keys() & table.keys()):
        if shown[name] != table[name]:
            faults.append(f"{name} of {program} is {shown[name]}, and {table[name]} in the table of metrics")
    return faults


def anchors(document):
    """The anchors of a Markdown document's headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def wrong_rules(rules, known):
    """Unknown metrics and broken runbook links in the rules."""
    runbook, faults = anchors(RUNBOOK), []
    for rule in rules:
        faults += [f"{rule['alert']}: nobody exports {name}" for name in sorted(metrics_in(rule["expr"]) - known)]
        document, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        if document != "docs/operations.md" or anchor not in runbook:
            faults.append(f"{rule['alert']}: {document}#{anchor} is not there")
    return faults


def expressions(panels):
    """The titles and PromQL expressions of panels, with those in rows."""
    for panel in panels:
        yield from ((panel["title"], target["expr"]) for target in panel.get("targets", []))
        yield from expressions(panel.get("panels", []))


def wrong_panels(known):
    """Unknown metrics in the dashboards."""
    faults, named = [], set()
    for file in sorted(DASHBOARDS.glob("*.json")):
        for title, expression in expressions(json.loads(file.read_text())["panels"]):
            named |= (metrics := metrics_in(expression))
            faults += [f"{file.name}, {title}: nobody exports {name}" for name in sorted(metrics - known)]
    return faults if named else ["the dashboards name no metric at all"]


def main():
    table, seen, known, faults = described(), set(), set(), []
    for url in sys.argv[1:]:
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        if not (build := re.search(r'^build_info\{.*?program="([^"]*)"', text, re.MULTILINE)):
            faults.append(f"{url} does not say which program it is: no build_info")
            continue
        program = build[1]
        shown = exported(text)
        faults += differences(program, shown, table.get(program, {}))
        linted = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        if linted.returncode != 0:
            faults += [f"{program}: {line}" for line in (linted.stdout + linted.stderr).splitlines()]
        seen.add(program)
        known |= {name + ending for name, (kind, _) in shown.items() for ending in SERIES_OF.get(kind, ("",))}
    faults += [f"the table of metrics names {program}, which was not asked" for program in sorted(table.keys() - seen)]
    rules = [rule for group in yaml.safe_load((HERE / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
    named = set().union(*(metrics_in(rule["expr"]) for rule in rules))
    faults += wrong_rules(rules, known)
    faults += wrong_panels(known)
    if not named:
        faults.append("the rules name no metric at all")
    documented = set().union(*table.values())
    print("\n".join(faults) or f"{len(seen)} programs export the {len(documented)} metrics of the table, and {len(rules)} alerts name {len(named)} of them, and the dashboards no others")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
