//! `down`: stops everything, in order.

use std::process::ExitCode;

use crate::passed_settings::settings_from_environment;
use crate::process_name::Name;
use crate::services::{self, stop_timeout};
use crate::state::{self, Service, State, own_postgres, own_rabbitmq};
use crate::terminal::progress;

pub(crate) async fn down(wipe: bool) -> anyhow::Result<ExitCode> {
    let _lock = state::lock()?;
    match State::load() {
        Ok(Some(state)) => stop(&state).await?,
        // The state is gone, but processes may still run.
        Ok(None) => stop_without_state().await?,
        Err(_) => {
            progress("What was started can't be read; stopping what is found running …");
            stop_without_state().await?;
        }
    }
    if wipe {
        self::wipe()?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn stop(state: &State) -> anyhow::Result<()> {
    let stop_timeout = stop_timeout(&state.settings);
    for name in Name::IN_STOPPING_ORDER {
        let service = state.services.iter().find(|service| service.name == name);
        if let Some(process) = service.and_then(Service::alive) {
            progress(&format!("Stopping {} …", name.text()));
            services::stop(name, process, stop_timeout).await?;
        }
    }
    if state.own_rabbitmq {
        stop_rabbitmq().await?;
    }
    if state.own_postgres {
        stop_postgres().await?;
    }
    State::remove()?;
    progress("Stopped.");
    Ok(())
}

/// Stops the processes named in `.stack/started` and in the servers' own files. A reused pid is
/// left alone: each file holds the start time of its process.
async fn stop_without_state() -> anyhow::Result<()> {
    let stop_timeout = stop_timeout(&settings_from_environment());
    let mut found = false;
    for name in Name::IN_STOPPING_ORDER {
        found |= match name {
            Name::Rabbitmq => stop_rabbitmq().await?,
            Name::Postgres => stop_postgres().await?,
            _ => false,
        };
        if let Some(process) = state::started(name)? {
            found = true;
            progress(&format!("Stopping {} …", name.text()));
            services::stop(name, &process, stop_timeout).await?;
        }
    }
    State::remove()?;
    progress(if found { "Stopped." } else { "The stack is not up." });
    Ok(())
}

/// Returns whether it was running. Stops a remaining port mapper too.
async fn stop_rabbitmq() -> anyhow::Result<bool> {
    if !state::folder()?.join("rabbitmq").exists() {
        return Ok(false);
    }
    let mut server = own_rabbitmq()?;
    let runs = server.process().is_some();
    if runs {
        progress("Stopping RabbitMQ …");
    }
    server.stop_gracefully().await?;
    Ok(runs)
}

/// Returns whether it was running.
async fn stop_postgres() -> anyhow::Result<bool> {
    if !state::folder()?.join("postgres").exists() {
        return Ok(false);
    }
    let mut server = own_postgres()?;
    let runs = server.process().is_some();
    if runs {
        progress("Stopping PostgreSQL …");
    }
    server.stop_gracefully().await?;
    Ok(runs)
}

fn wipe() -> anyhow::Result<()> {
    stack::remove_postgres_dir()?;
    for name in ["rabbitmq", "logs"] {
        let dir = state::folder()?.join(name);
        if dir.exists() {
            std::fs::remove_dir_all(dir)?;
        }
    }
    progress("Removed the data.");
    Ok(())
}
