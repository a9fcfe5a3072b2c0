//! `down`: stops everything in order.

use std::process::ExitCode;

use crate::services;
use crate::state::{self, Name, State, own_postgres, own_rabbitmq};
use crate::style::say;

pub(crate) async fn down(wipe: bool) -> anyhow::Result<ExitCode> {
    let _lock = state::lock()?;
    match State::load()? {
        Some(state) => stop(&state).await?,
        None => say("The stack is not up."),
    }
    if wipe {
        self::wipe()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writers before readers, services before servers: nothing is cut off from what it still needs.
pub(crate) async fn stop(state: &State) -> anyhow::Result<()> {
    let order =
        [Name::OrderService, Name::OutboxRelay, Name::CustomerConsumer, Name::CustomerService];
    for name in order {
        let service = state.services.iter().find(|service| service.name == name);
        if let Some(service) = service.filter(|service| service.alive().is_some()) {
            say(&format!("Stopping {} …", name.text()));
            services::stop(service).await?;
        }
    }
    if state.own_rabbitmq {
        say("Stopping RabbitMQ …");
        own_rabbitmq()?.stop_gracefully().await?;
    }
    if state.own_postgres {
        say("Stopping PostgreSQL …");
        own_postgres()?.stop_gracefully().await?;
    }
    State::remove()?;
    say("Stopped.");
    Ok(())
}

fn wipe() -> anyhow::Result<()> {
    stack::remove_postgres_dir()?;
    for name in ["rabbitmq", "logs"] {
        let dir = state::folder()?.join(name);
        if dir.exists() {
            std::fs::remove_dir_all(dir)?;
        }
    }
    say("Removed the data.");
    Ok(())
}
