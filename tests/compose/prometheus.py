"""Checks a Prometheus that scrapes the containers: it scrapes every replica, evaluates every alert
without one firing, and has data for every panel of the dashboards.

Usage: prometheus.py URL JOB=REPLICAS...
"""

import json
import re
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 90
# Grafana's variables, with values to replace them.
VARIABLES = {"$__rate_interval": "1m", "$__interval": "15s", "$__range": "5m"}


def ask(url, path, **parameters):
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
        return json.load(answer)["data"]


def replicas(url):
    """The number of running processes of each job."""
    result = ask(url, "query", query="count by (job) (up == 1)")["result"]
    return {series["metric"]["job"]: int(series["value"][1]) for series in result}


def wrong_alerts(url):
    """Alerts that fire, or have not been evaluated successfully."""
    rules = [rule for group in ask(url, "rules")["groups"] for rule in group["rules"]]
    wrong = [f"{rule['name']}: {rule['health']}, {rule['state']}" for rule in rules if rule["health"] != "ok" or rule["state"] == "firing"]
    return wrong if rules else ["there are no rules"]


def panels(dashboard):
    """All panels, including those in rows."""
    for panel in dashboard.get("panels", []):
        yield panel
        yield from panels(panel)


def empty_panels(url):
    """Expressions of the dashboards that yield no data or name a metric that no program exports.

    The names are checked because `or vector(0)` yields data for an unknown metric.
    """
    exported, empty = set(ask(url, "label/__name__/values")), []
    for file in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json")):
        for panel in panels(json.loads(file.read_text())):
            for target in panel.get("targets", []):
                expression = target["expr"]
                for name, value in VARIABLES.items():
                    expression = expression.replace(name, value)
                unknown = set(re.findall(r"[a-z][a-z0-9_]*(?=[{\[])", expression)) - exported
                if unknown or not ask(url, "query", query=expression)["result"]:
                    empty.append(f"{file.name}, {panel['title']}: no data for {expression}")
    return empty


def faults(url, wanted):
    there = replicas(url)
    if there != wanted:
        return [f"scraped are {there}, not {wanted}"]
    return wrong_alerts(url) + empty_panels(url)


def main():
    url, *jobs = sys.argv[1:]
    wanted = {job: int(count) for job, count in (given.split("=") for given in jobs)}
    deadline = time.monotonic() + PATIENCE
    while (found := faults(url, wanted)) and time.monotonic() < deadline:
        time.sleep(1)
    print("\n".join(found) or f"Prometheus scrapes {sum(wanted.values())} processes, evaluates all alerts and has data for all panels")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
