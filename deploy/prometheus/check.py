"""Holds what alerts.yml names against what there is: metrics against /metrics of running programs, runbook links against the runbook.

Usage: check.py OPS_URL...
"""

import re
import sys
import urllib.request
from pathlib import Path

import yaml

HERE = Path(__file__).parent
# What Prometheus says itself about each process that it scrapes.
OF_PROMETHEUS = {"up"}
KEYWORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "le"}


def metrics_in(expression):
    """The names of the metrics in a PromQL expression."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]', "", re.sub(r'"[^"]*"', "", expression))
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", "", bare)
    return set(re.findall(r"\b[a-z_:][a-z0-9_:]*\b(?!\s*\()", bare)) - KEYWORDS - OF_PROMETHEUS


def exported(urls):
    """The names of all series that the programs show."""
    names = set()
    for url in urls:
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            names |= {re.match(r"[a-zA-Z0-9_:]+", line)[0] for line in answer.read().decode().splitlines() if line[:1].isalpha()}
    return names


def anchors(document):
    """The places in a Markdown document that can be linked to."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def main():
    rules = [rule for group in yaml.safe_load((HERE / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
    known, runbook, faults = exported(sys.argv[1:]), anchors(HERE.parents[1] / "docs/operations.md"), []
    named = set()
    for rule in rules:
        named |= metrics_in(rule["expr"])
        faults += [f"{rule['alert']}: nobody exports {name}" for name in sorted(metrics_in(rule["expr"]) - known)]
        document, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        if document != "docs/operations.md" or anchor not in runbook:
            faults.append(f"{rule['alert']}: {document}#{anchor} is not there")
    if not named:
        faults.append("the rules name no metric at all")
    print("\n".join(faults) or f"{len(rules)} alerts name {len(named)} metrics, and all are exported")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
