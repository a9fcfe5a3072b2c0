"""Checks the built manifests without a cluster: schemas, environment variables, probes, database
roles and network policies.

Usage: check.py BUILT BIN_DIR
"""

import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import kubernetes_validate
import yaml

# API groups of operators. operators.mjs checks those with published models.
OPERATORS = {"keda.sh", "monitoring.coreos.com", "postgresql.cnpg.io", "rabbitmq.com"}
PROGRAMS = ("order-service", "outbox-relay", "customer-service")
# The settings of a database, and the steps of a Job that is no service's migrations.
DATABASE_URLS = ("DATABASE_URL", "DEAD_LETTERS_DATABASE_URL")
STEPS_OF = {"desk-schema": ["print", "apply"]}
# Containers of programs that never migrate.
NEVER_MIGRATE = {"outbox-relay", "dead-letters", "console"}
# The roles that a Job's SQL would create, if the operator had not.
SQL = Path(__file__).parents[2] / "sql"
ROLES_OF = {"order-migrations": SQL / "roles.sql", "desk-schema": SQL / "dead-letters/roles.sql"}
SECURE = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def settings(bin_dir, program, arguments):
    """The environment variables that a program's command accepts: the arguments before the first option."""
    command = takewhile(lambda argument: not argument.startswith("-"), arguments)
    shown = subprocess.run([bin_dir / program, *command, "--help"], capture_output=True, text=True, check=True)
    return set(re.findall(r"\[env: ([A-Z_]+)", shown.stdout))


def containers(document):
    spec = document.get("spec", {}).get("template", {}).get("spec", {})
    return spec.get("initContainers", []) + spec.get("containers", [])


def pod_faults(document):
    pod = document.get("spec", {}).get("template", {}).get("spec")
    if pod and pod.get("automountServiceAccountToken") is not False:
        yield "its pods have a service account's token"
    if pod and pod.get("securityContext", {}).get("runAsNonRoot") is not True:
        yield "its pods may run as root"


def faults_of(container, bin_dir):
    program = container["image"].rsplit("/", 1)[-1].split(":")[0]
    if container.get("securityContext") != SECURE:
        yield "its securityContext is not the restricted one"
    if "memory" not in container.get("resources", {}).get("limits", {}):
        yield "it has no memory limit"
    for one in container.get("env", []):
        # Port-forwarding reaches this address, and no other pod does.
        if one["name"] == "CONSOLE_ADDR" and not one["value"].startswith("127.0.0.1:"):
            yield f"its console listens on {one['value']}"
    if program in PROGRAMS and "args" in container:
        known = settings(bin_dir, program, container["args"])
        yield from (f"{one['name']} is no setting of it" for one in container.get("env", []) if one["name"] not in known)
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
    for one in container.get("env", []):
        if one["name"] in ("OPS_ADDR", "LISTEN_ADDR") and int(one["value"].rsplit(":", 1)[1]) not in ports.values():
            yield f"{one['name']} is not among its ports"
    for probe in ("livenessProbe", "readinessProbe"):
        if probe in container and container[probe]["httpGet"]["port"] not in ports:
            yield f"its {probe} asks a port that it has not"


def env_of(container):
    """The environment variables of a container: their values, or the names of their Secrets."""
    return {one["name"]: one.get("value") or one["valueFrom"]["secretKeyRef"]["name"] for one in container.get("env", [])}


def privilege_faults(documents):
    """Faults in the database logins.

    Only migrations may log in as the owner, and the operator must create each other role, as the
    owner may not.
    """
    made = [role for one in documents if one["kind"] == "Cluster" for role in one["spec"]["managed"]["roles"] if role["login"]]
    roles = {role["name"].replace("_", "-") for role in made if role["passwordSecret"]["name"] == role["name"].replace("_", "-") + "-role"}
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        for container in containers(document):
            env = env_of(container)
            named = [env[setting] for setting in DATABASE_URLS if setting in env and document["kind"] != "Job"]
            for secret in named + mounted_logins(document):
                if secret.endswith("-app"):
                    yield f"{name}, {container['name']}: it logs in as the owner of its database"
                elif secret.removesuffix("-database") not in roles:
                    yield f"{name}, {container['name']}: no role is made for {secret}"
                if container["name"] not in NEVER_MIGRATE and env.get("MIGRATE_ON_START") != "false":
                    yield f"{name}, {container['name']}: it migrates, and its role may not"
    for job in (one for one in documents if one["kind"] == "Job"):
        name = job["metadata"]["name"]
        wanted = STEPS_OF.get(name, ["migrate", "grant", "limit"])
        if [step for step in (container["name"] for container in containers(job)) if step in wanted] != wanted:
            yield f"Job {name}: its steps are not {', '.join(wanted)}, in this order"
        if name in ROLES_OF:
            yield from (f"Job {name}: {fault}" for fault in role_faults(documents, ROLES_OF[name]))


def mounted_logins(document):
    """The Secrets with a database's URL that are mounted as files."""
    volumes = document.get("spec", {}).get("template", {}).get("spec", {}).get("volumes", [])
    names = (volume.get("secret", {}).get("secretName", "") for volume in volumes)
    return [name for name in names if name.endswith(("-database", "-app"))]


def role_faults(documents, file):
    """Roles of an SQL file that no Cluster makes as the file would: the owner may not."""
    there = {role["name"]: role for one in documents if one["kind"] == "Cluster" for role in one["spec"]["managed"]["roles"]}
    text = file.read_text()
    wanted = re.findall(r"\('(\w+)', '((?:NO)?LOGIN)( NOINHERIT)?'\)", text)
    members = re.findall(r"\('(\w+)', '([a-z_]+)'\)", text)
    if not wanted or not members:
        yield f"{file.name} names no role or no member"
    for name, login, no_inherit in wanted:
        if not (role := there.get(name)):
            yield f"no Cluster makes the role {name}"
        elif (role["login"] and login == "NOLOGIN") or role.get("inherit", True) == bool(no_inherit):
            yield f"the Cluster makes the role {name} with more rights"
        elif set(role.get("inRoles", [])) != {group for member, group in members if member == name}:
            yield f"the Cluster does not make the role {name} a member of the same roles"


def label(selector):
    """The only label of a selector; None if it selects everything."""
    return next(iter(selector.get("matchLabels", {}).values()), None)


def passages(documents, direction):
    """The allowed connections as (pods, peer, port).

    A peer is a pod label, `namespace NAME`, or None for any.
    """
    key = {"ingress": "from", "egress": "to"}[direction]
    for policy in (one for one in documents if one["kind"] == "NetworkPolicy"):
        for rule in policy["spec"].get(direction, []):
            for peer in rule.get(key, [{}]):
                space = label(peer.get("namespaceSelector", {}))
                name = f"namespace {space}" if space else label(peer.get("podSelector", {}))
                yield from ((label(policy["spec"]["podSelector"]), name, port["port"]) for port in rule["ports"])


# Connections that the operators' pods need, besides those of the programs.
MONITORING = "namespace monitoring"
DATABASES = ("order-database", "customer-database")
OWN = {
    "ingress": {(db, peer, port) for db in DATABASES for peer, port in [(db, 5432), (db, 8000), ("namespace cnpg-system", 8000), (MONITORING, 9187)]}
    | {("rabbitmq", peer, port) for peer, port in [("rabbitmq", 4369), ("rabbitmq", 25672), (MONITORING, 15692), ("namespace keda", 5672)]},
    "egress": {(db, peer, port) for db in DATABASES for peer, port in [(db, 5432), (db, 8000), (None, 443), (None, 6443)]}
    | {("rabbitmq", peer, port) for peer, port in [("rabbitmq", 4369), ("rabbitmq", 25672), (None, 443), (None, 6443)]},
}


def network_faults(documents):
    """Faults in the network policies.

    Every pod needs a policy for both directions, egress and ingress must agree, and the pipeline's
    programs must reach a trace collector, their databases and the broker.
    """
    home = {}
    for cluster in (one for one in documents if one["kind"] == "Cluster"):
        name = cluster["metadata"]["name"]
        home[f"{name}-app"] = name
        home |= {role["name"].replace("_", "-") + "-database": name for role in cluster["spec"]["managed"]["roles"]}
    policies = {label(one["spec"]["podSelector"]): one["spec"]["policyTypes"] for one in documents if one["kind"] == "NetworkPolicy"}
    pods = {one["metadata"]["name"] for one in documents if one["kind"] in ("Deployment", "Job", "Cluster", "RabbitmqCluster")}
    yield from (f"no NetworkPolicy for both directions of {pod}" for pod in sorted(pods) if policies.get(pod) != ["Ingress", "Egress"])
    into, out = set(passages(documents, "ingress")), set(passages(documents, "egress"))
    open_to_all = {(pod, port) for pod, peer, port in into if peer is None}
    for pod, peer, port in sorted(one for one in out if one[1] in pods):
        if (peer, pod, port) not in into and (peer, port) not in open_to_all:
            yield f"{pod} may go to {peer} on {port}, which does not let it in"
    for pod, peer, port in sorted(one for one in into if one[1] in pods):
        if (peer, pod, port) not in out:
            yield f"{pod} lets {peer} in on {port}, who may not go there"
    for direction, have in (("ingress", into), ("egress", out)):
        yield from (f"no {direction}: {pod}, {peer or 'anybody'}, {port}" for pod, peer, port in sorted(OWN[direction] - have, key=str))
    for document in documents:
        for container in containers(document):
            env, pod = env_of(container), document["metadata"]["name"]
            if "OPS_ADDR" in env:
                yield from (f"{pod} reaches no collector on {port}" for port in (4317, 4318) if (pod, MONITORING, port) not in out)
            for setting, port in (*((url, 5432) for url in DATABASE_URLS), ("RABBITMQ_URL", 5672), ("RABBITMQ_URL", 5671)):
                server = home.get(env.get(setting), "rabbitmq")
                if setting in env and (pod, server, port) not in out:
                    yield f"{pod} may not go where {setting} leads, on {port}"


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
        faults += [f"{name}: {fault}" for fault in pod_faults(document)]
        for container in containers(document):
            faults += [f"{name}, {container['name']}: {fault}" for fault in faults_of(container, Path(sys.argv[2]))]
    faults += privilege_faults(documents)
    faults += network_faults(documents)
    kinds = {document["kind"] for document in documents}
    wanted = {"Deployment", "Job", "Cluster", "RabbitmqCluster", "ScaledObject", "ServiceMonitor", "NetworkPolicy", "PodDisruptionBudget"}
    faults += [f"there is no {kind}" for kind in sorted(wanted - kinds)]
    print("\n".join(faults) or f"{len(documents)} manifests are valid")
    sys.exit(bool(faults))


main()
