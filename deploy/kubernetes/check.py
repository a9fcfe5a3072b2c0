"""Checks the built manifests without a cluster: schemas, environment variables, probes. Usage: check.py BUILT BIN_DIR"""

import re
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import yaml

# The kinds of operators: check.mjs looks at those that have published models.
OPERATORS = {"keda.sh", "monitoring.coreos.com", "postgresql.cnpg.io", "rabbitmq.com"}
PROGRAMS = ("order-service", "outbox-relay", "customer-service")
SECURE = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def settings(bin_dir, program, command):
    """The environment variables that a program's command knows."""
    shown = subprocess.run([bin_dir / program, command, "--help"], capture_output=True, text=True, check=True)
    return set(re.findall(r"\[env: ([A-Z_]+)", shown.stdout))


def containers(document):
    spec = document.get("spec", {}).get("template", {}).get("spec", {})
    return spec.get("initContainers", []) + spec.get("containers", [])


def faults_of(container, bin_dir):
    program = container["image"].rsplit("/", 1)[-1].split(":")[0]
    if container.get("securityContext") != SECURE:
        yield "its securityContext is not the restricted one"
    if program in PROGRAMS and "args" in container:
        known = settings(bin_dir, program, container["args"][0])
        yield from (f"{one['name']} is no setting of it" for one in container.get("env", []) if one["name"] not in known)
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
    for one in container.get("env", []):
        if one["name"] in ("OPS_ADDR", "LISTEN_ADDR") and int(one["value"].rsplit(":", 1)[1]) not in ports.values():
            yield f"{one['name']} is not among its ports"
    for probe in ("livenessProbe", "readinessProbe"):
        if probe in container and container[probe]["httpGet"]["port"] not in ports:
            yield f"its {probe} asks a port that it has not"


def main():
    documents = [one for one in yaml.safe_load_all(Path(sys.argv[1]).read_text()) if one]
    faults = []
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        if document["apiVersion"].split("/")[0] not in OPERATORS:
            try:
                kubernetes_validate.validate(document, "1.37", strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                faults.append(f"{name}: {error}")
        for container in containers(document):
            faults += [f"{name}, {container['name']}: {fault}" for fault in faults_of(container, Path(sys.argv[2]))]
    kinds = {document["kind"] for document in documents}
    wanted = {"Deployment", "Job", "Cluster", "RabbitmqCluster", "ScaledObject", "ServiceMonitor", "NetworkPolicy", "PodDisruptionBudget"}
    faults += [f"there is no {kind}" for kind in sorted(wanted - kinds)]
    print("\n".join(faults) or f"{len(documents)} manifests are well")
    sys.exit(bool(faults))


main()
