//! `restart NAME`.

use std::process::ExitCode;

use anyhow::{Context, ensure};

use crate::passed_settings::settings_from_environment;
use crate::process_name::Name;
use crate::services;
use crate::state::{self, State, own_postgres, own_rabbitmq, write_pid};
use crate::terminal::progress;

pub(crate) async fn restart(name: Name) -> anyhow::Result<ExitCode> {
    let _lock = state::lock()?;
    let mut state = State::of_running_stack()?;
    progress(&format!("Starting {} …", name.text()));
    match name {
        Name::Postgres => restart_postgres(&state).await?,
        Name::Rabbitmq => restart_rabbitmq(&state).await?,
        _ => restart_service(&mut state, name).await?,
    }
    progress(&format!("{} is ready.", name.text()));
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn restart_service(state: &mut State, name: Name) -> anyhow::Result<()> {
    let stop_timeout = services::stop_timeout(&state.settings);
    if let Some(process) = state.service_mut(name)?.alive() {
        services::stop(name, process, stop_timeout).await?;
    }
    // Later entries win when the process is started.
    state.settings.extend(settings_from_environment());
    let process = services::start(state, name)?;
    services::wait(state.service_mut(name)?, &process).await
}

async fn restart_postgres(state: &State) -> anyhow::Result<()> {
    ensure!(state.own_postgres, "PostgreSQL is not the stack's own: it was given by its URL");
    let mut server = own_postgres()?;
    server.stop_gracefully().await?;
    let port = format!("127.0.0.1:{}", server.access().port);
    let at = state.addresses.as_ref().context("the stack is still starting")?;
    let known = [&at.order_database, &at.customer_database];
    ensure!(
        known.iter().any(|url| url.contains(&port)),
        "PostgreSQL's port was taken meanwhile; `cargo xtask down` and `up` move it"
    );
    server.start().await?;
    write_pid(Name::Postgres, server.process().context("PostgreSQL has ended again")?)
}

pub(crate) async fn restart_rabbitmq(state: &State) -> anyhow::Result<()> {
    ensure!(state.own_rabbitmq, "RabbitMQ is not the stack's own: it was given by its URL");
    let mut server = own_rabbitmq()?;
    server.stop_gracefully().await?;
    let at = state.addresses.as_ref().context("the stack is still starting")?;
    ensure!(
        at.rabbitmq == server.access().amqp_url("%2f"),
        "RabbitMQ's port was taken meanwhile; `cargo xtask down` and `up` move it"
    );
    server.start().await?;
    write_pid(Name::Rabbitmq, server.process().context("RabbitMQ has ended again")?)
}
