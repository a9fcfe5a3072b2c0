//! Starts and stops the pipeline's processes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use stack::{Process, ProcessId, Signal};

use crate::passed_settings::is_ours;
use crate::plan;
use crate::process_name::Name;
use crate::ready::wait_until_healthy;
use crate::state::{self, Service, State, write_pid};
use crate::terminal::progress;

/// The default of `SHUTDOWN_GRACE`.
const GRACE: (&str, Duration) = ("SHUTDOWN_GRACE", Duration::from_secs(25));

/// The default of `SHUTDOWN_DELAY`.
const DELAY: (&str, Duration) = ("SHUTDOWN_DELAY", Duration::ZERO);

/// The margin beyond a service's own shutdown time.
const MARGIN: Duration = Duration::from_secs(5);

/// How long a service with these settings may take to stop.
pub(crate) fn stop_timeout(settings: &[(String, String)]) -> Duration {
    let told = |(name, default)| {
        // As in the service's environment, the last entry wins.
        let setting = settings.iter().rev().find(|(setting, _)| setting == name);
        setting.and_then(|(_, value)| humantime::parse_duration(value).ok()).unwrap_or(default)
    };
    told(DELAY).saturating_add(told(GRACE)).saturating_add(MARGIN)
}

/// Starts a service and records its process, without waiting for it.
pub(crate) fn start(state: &mut State, name: Name) -> anyhow::Result<Process> {
    let settings = state.settings.clone();
    let bin_dir = state.bin_dir.clone();
    let service = state.service_mut(name)?;
    let mut command = program(&bin_dir, &service.command.package);
    command
        .args(&service.command.arguments)
        .envs(settings)
        .envs(service.command.environment.iter().cloned());
    let process = Process::spawn(&mut command, &state::log(name)?)?;
    service.process = Some(process.id().clone());
    write_pid(name, process.id())?;
    state.save()?;
    Ok(process)
}

/// Migrates a database with a service's `migrate` command; `owner` is the owner's URL.
pub(crate) async fn migrate(state: &State, package: &str, owner: &str) -> anyhow::Result<()> {
    run_program(state, package, &["migrate".to_owned()], &[("DATABASE_URL", owner)]).await
}

/// Runs a command of a program to its end.
pub(crate) async fn run_program(
    state: &State,
    package: &str,
    arguments: &[String],
    settings: &[(&str, &str)],
) -> anyhow::Result<()> {
    let mut command = program(&state.bin_dir, package);
    command.args(arguments).envs(state.settings.iter().cloned()).envs(settings.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stderr);
    let what = arguments.first().map_or("", String::as_str);
    ensure!(output.status.success(), "`{package} {what}` failed: {}", said.trim_end());
    Ok(())
}

/// The command for a program, without the variables that would connect it to other servers.
fn program(bin_dir: &Path, package: &str) -> Command {
    let mut command = Command::new(plan::program(bin_dir, package));
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if is_ours(&text) || text.starts_with("CARGO") {
            command.env_remove(&variable);
        }
    }
    command.current_dir(stack::root());
    command
}

/// Waits until a service that was just started is ready.
pub(crate) async fn wait(service: &Service, process: &Process) -> anyhow::Result<()> {
    let log = state::log(service.name)?;
    wait_until_healthy(service.name.text(), process, &log, &service.command.ops).await
}

/// Stops a service and waits; kills it on timeout.
pub(crate) async fn stop(
    name: Name,
    process: &ProcessId,
    stop_timeout: Duration,
) -> anyhow::Result<()> {
    // PostgreSQL would wait for its clients on SIGTERM.
    let signal = if name == Name::Postgres { Signal::SIGINT } else { Signal::SIGTERM };
    if !Process::adopt(process.clone()).stop(signal, stop_timeout).await? {
        let (name, seconds) = (name.text(), stop_timeout.as_secs());
        progress(&format!("{name} did not end within {seconds} s and was killed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Duration, stop_timeout};

    #[test]
    fn a_service_gets_a_little_more_time_than_it_gives_itself() {
        let settings = |values: &[&str]| -> Vec<_> {
            values.iter().map(|value| ("SHUTDOWN_GRACE".to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(stop_timeout(&[]), Duration::from_secs(30));
        assert_eq!(stop_timeout(&settings(&["5s", "2m"])), Duration::from_secs(125));
        let delay = ("SHUTDOWN_DELAY".to_owned(), "10s".to_owned());
        assert_eq!(stop_timeout(&[delay]), Duration::from_secs(40));
    }
}
