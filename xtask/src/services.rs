//! Starts and stops the pipeline's processes.

use std::process::Command;
use std::time::Duration;

use stack::{Process, Signal};

use crate::plan::{self, is_ours};
use crate::ready::wait_until_healthy;
use crate::state::{self, Name, Service, State, write_pid};
use crate::style::say;

/// More than the 25 s that a service gives itself (`SHUTDOWN_GRACE`).
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts one service and writes down its process; does not wait for it.
pub(crate) fn start(state: &mut State, name: Name) -> anyhow::Result<Process> {
    let settings = state.settings.clone();
    let bin_dir = state.bin_dir.clone();
    let service = state.service_mut(name)?;
    let mut command = Command::new(plan::program(&bin_dir, &service.command.package));
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if is_ours(&text) || text.starts_with("CARGO") {
            command.env_remove(&variable);
        }
    }
    command
        .args(&service.command.arguments)
        .envs(settings)
        .envs(service.command.environment.iter().cloned())
        .current_dir(stack::root());
    let process = Process::spawn(&mut command, &state::log(name)?)?;
    service.process = Some(process.id().clone());
    write_pid(name, process.id())?;
    state.save()?;
    Ok(process)
}

/// Waits until a service that was just started is ready.
pub(crate) async fn wait(service: &Service, process: &Process) -> anyhow::Result<()> {
    let log = state::log(service.name)?;
    wait_until_healthy(service.name.text(), process, &log, &service.command.ops).await
}

/// Asks a service to end and waits for it; kills it when it does not.
pub(crate) async fn stop(service: &Service) -> anyhow::Result<()> {
    let Some(process) = service.alive() else { return Ok(()) };
    let name = service.name.text();
    let in_time = Process::adopt(process.clone()).stop(Signal::SIGTERM, PATIENCE).await?;
    if !in_time {
        say(&format!("{name} did not end within {} s and was killed", PATIENCE.as_secs()));
    }
    Ok(())
}
