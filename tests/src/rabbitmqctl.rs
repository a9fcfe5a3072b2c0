//! `rabbitmqctl` and `rabbitmq-upgrade` for a temporary server.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use stack::RabbitServer;

/// Runs `rabbitmqctl` with `arguments`.
///
/// # Errors
/// When the server does not run, or refuses.
pub fn rabbitmqctl(server: &RabbitServer, arguments: &[&str]) -> anyhow::Result<()> {
    run("rabbitmqctl", server, arguments)
}

/// Runs `rabbitmq-upgrade` with `arguments`.
///
/// # Errors
/// When the server does not run, or refuses.
pub fn rabbitmq_upgrade(server: &RabbitServer, arguments: &[&str]) -> anyhow::Result<()> {
    run("rabbitmq-upgrade", server, arguments)
}

fn run(program: &str, server: &RabbitServer, arguments: &[&str]) -> anyhow::Result<()> {
    let dir = server.log().parent().context("the log is in the server's folder")?;
    let settings: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("server.json"))?)?;
    let pid = server.process().context("it runs")?.pid;
    // The program of the running installation, not a wrapper that switches the user.
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ"))?;
    let plugins = environment.split('\0').find_map(|variable| variable.strip_prefix("ERL_LIBS="));
    let plugins = plugins.and_then(|paths| paths.split(':').next()).context("where it lies")?;
    let program = Path::new(plugins).with_file_name("sbin").join(program);
    let done = Command::new(program)
        .args(["-n", settings["node"].as_str().context("a node")?])
        .args(arguments)
        // Where it leaves a dump if it crashes.
        .current_dir(dir)
        .env("HOME", dir)
        .env("ERL_EPMD_PORT", settings["epmd_port"].to_string())
        .output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}
