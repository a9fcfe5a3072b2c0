//! The servers' versions: required and installed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::locate;

/// The oldest supported version.
const POSTGRES: &[u32] = &[14];

/// The first version with message TTL in quorum queues and at-least-once dead-lettering.
const RABBITMQ: &[u32] = &[3, 10];

/// Fails if an installed server is too old. `packages` names the servers to check as in
/// [`install`](crate::install()).
///
/// # Errors
/// With the required version, the installed one and what to do.
pub fn check_versions(packages: &[&str]) -> anyhow::Result<()> {
    let asked = |package: &str| packages.contains(&package);
    if let Some(bin) = locate::postgres_bin().filter(|_| asked("postgresql")) {
        check_postgres(&bin)?;
    }
    if let Some(program) = locate::rabbitmq_server().filter(|_| asked("rabbitmq-server")) {
        check_rabbitmq(&program)?;
    }
    Ok(())
}

/// For the folder of PostgreSQL's programs.
pub(crate) fn check_postgres(bin: &Path) -> anyhow::Result<()> {
    let program = bin.join("postgres");
    let output = Command::new(&program).arg("--version").output();
    let output = output.with_context(|| format!("cannot start {}", program.display()))?;
    // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.split_once("PostgreSQL)").map_or(said.trim(), |(_, version)| version);
    check("PostgreSQL", POSTGRES, version, &program.display().to_string())
}

/// For RabbitMQ's start script. Succeeds if the installation does not show its version; the running
/// node is checked later.
pub(crate) fn check_rabbitmq(program: &Path) -> anyhow::Result<()> {
    let program = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    let home = program.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    let plugins = home.join("plugins").read_dir().into_iter().flatten().flatten();
    let names = plugins.map(|entry| entry.file_name()).chain(home.file_name().map(Into::into));
    let mut names = names.filter_map(|name| name.into_string().ok());
    // The broker itself is the plugin `rabbit-3.10.8`; archives have the version in the folder's
    // name too.
    let version = names.find_map(|name| {
        let mut prefixes = ["rabbit-", "rabbitmq_server-"].iter();
        prefixes.find_map(|prefix| name.strip_prefix(prefix).map(str::to_owned))
    });
    version
        .map_or(Ok(()), |found| check("RabbitMQ", RABBITMQ, &found, &program.display().to_string()))
}

/// For the management API's `/api/overview` of a running node.
pub(crate) fn check_running_rabbitmq(overview: &Value) -> anyhow::Result<()> {
    let found = overview["rabbitmq_version"].as_str().unwrap_or("unknown");
    check("RabbitMQ", RABBITMQ, found, "the node that was started")
}

fn check(name: &str, needed: &[u32], found: &str, what: &str) -> anyhow::Result<()> {
    let needed_text = needed.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    ensure!(
        numbers(found).is_some_and(|found| found.as_slice() >= needed),
        "{name} {needed_text} or later is needed, but {what} has version {}; install a newer one, \
         and put the folder of its programs first in PATH when both stay on this machine",
        found.trim()
    );
    Ok(())
}

/// The version at the start of a text: 15.18, or 17 from "17beta1".
fn numbers(text: &str) -> Option<Vec<u32>> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let numbers = text[..end].trim_end_matches('.');
    numbers.split('.').map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{POSTGRES, RABBITMQ, check};

    #[test]
    fn older_servers_are_refused_with_both_versions_in_the_sentence() {
        for new_enough in ["14.0", " 15.18 (Debian 15.18-0)\n", "18beta2"] {
            check("PostgreSQL", POSTGRES, new_enough, "/bin/postgres").expect(new_enough);
        }
        for new_enough in ["3.10.0", "3.13.7.ez", "4.0.1"] {
            check("RabbitMQ", RABBITMQ, new_enough, "/bin/server").expect(new_enough);
        }
        assert!(check("PostgreSQL", POSTGRES, "13.22", "/bin/postgres").is_err());
        let error = check("RabbitMQ", RABBITMQ, "3.9.29", "/bin/server");
        let error = error.expect_err("3.9 is too old").to_string();
        assert!(error.contains("3.10 or later") && error.contains("version 3.9.29"), "{error}");
    }
}
