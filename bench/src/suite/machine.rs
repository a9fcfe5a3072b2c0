//! The machine, and the versions of the servers.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::setup::{Servers, connect};

/// The settings that make commits durable; without one of them the numbers are meaningless.
const DURABLE: [&str; 3] = ["fsync", "synchronous_commit", "full_page_writes"];

/// The load average above which the machine is not idle.
const BUSY: f64 = 0.5;

/// Machine, versions and durability settings. Fails if one of those is off.
pub(super) async fn machine(servers: &Servers) -> anyhow::Result<Value> {
    let sql = connect(&servers.postgres.url("postgres")).await?;
    let show = async |setting: &str| -> anyhow::Result<String> {
        Ok(sql.query_one(&format!("SHOW {setting}"), &[]).await?.try_get(0)?)
    };
    for setting in DURABLE {
        let value = show(setting).await?;
        ensure!(value == "on", "PostgreSQL's {setting} is {value}: no number means anything");
    }
    let management = stack::Management::new(&servers.rabbit.access().management_url())?;
    let overview = management.get("/api/overview").await?.context("RabbitMQ says nothing")?;
    let cores = std::thread::available_parallelism()?.get();
    Ok(json!({
        "cpu": after("/proc/cpuinfo", "model name"),
        "cores": cores,
        "memory_kb": after("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok()),
        "kernel": line("/proc/sys/kernel/osrelease"),
        "load_before": line("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse::<f64>().ok()),
        "postgresql": show("server_version").await?,
        "durable": DURABLE,
        "rabbitmq": overview["rabbitmq_version"],
        "erlang": overview["erlang_version"],
        "rustc": said("rustc", &["--version"]),
        "pipeline": env!("CARGO_PKG_VERSION"),
        "commit": said("git", &["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]),
    }))
}

/// The same as a sentence.
pub(super) fn words(machine: &Value) -> String {
    let text = |name: &str| match &machine[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let gigabytes = machine["memory_kb"].as_u64().unwrap_or_default() / (1 << 20);
    let mut words = format!(
        "Measured on {} cores of {}, {gigabytes} GB, Linux {}, PostgreSQL {}, RabbitMQ {}, at {}.",
        text("cores"),
        text("cpu"),
        text("kernel"),
        text("postgresql"),
        text("rabbitmq"),
        text("commit"),
    );
    if machine["load_before"].as_f64().is_some_and(|load| load > BUSY) {
        words.push_str(" Something else was running when it began: the numbers are worth little.");
    }
    if let Some(percent) = machine["stolen_percent"].as_f64() {
        words.push_str(&format!(
            " The hypervisor took {percent:.1} % of the processors' time meanwhile."
        ));
    }
    words
}

/// CPU times since boot, in ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Processors {
    time: u64,
    /// Steal time: something was ready to run, and the hypervisor ran other machines.
    stolen: u64,
}

impl Processors {
    /// <https://docs.kernel.org/filesystems/proc.html#miscellaneous-kernel-statistics-in-proc-stat>
    pub(super) fn now() -> Option<Self> {
        let stat = line("/proc/stat")?;
        let words = stat.lines().next()?.split_whitespace().skip(1).take(8);
        let times = words.map(|time| time.parse().ok()).collect::<Option<Vec<u64>>>()?;
        Some(Self { time: times.iter().sum(), stolen: *times.get(7)? })
    }

    /// The percentage of steal time since `before`.
    pub(super) fn stolen_percent(before: Option<Self>) -> Option<f64> {
        let (before, now) = (before?, Self::now()?);
        let time = now.time.checked_sub(before.time).filter(|&time| time > 0)?;
        Some(100.0 * now.stolen.saturating_sub(before.stolen) as f64 / time as f64)
    }
}

fn line(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

/// The value after `name:` in a file.
fn after(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(stack::root()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
