//! `up`: starts everything and waits until the pipeline is ready.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use stack::Process;
use tokio::signal::unix::{SignalKind, signal};

use crate::passed_settings::settings_from_environment;
use crate::plan::{Addresses, commands};
use crate::process_name::Name;
use crate::servers::{self, ExternalServers, truncate};
use crate::service_ports::ServicePorts;
use crate::state::{self, Service, State, own_postgres, own_rabbitmq};
use crate::terminal::{line, print_error, progress};
use crate::{down, roles, services, tail_logs, welcome};

#[derive(Args)]
pub(crate) struct Options {
    /// Return once all is ready and leave it running
    #[arg(long)]
    detach: bool,
    /// Build and run optimised programs
    #[arg(long)]
    release: bool,
    /// Also collect the consumer's dead letters into the customer database (docs/desk.md)
    #[arg(long)]
    desk: bool,
    /// Give the services the nine ports from here on: order-service, customer-service, the
    /// operations ports of order-service, outbox-relay, customer-service, customer-consumer and,
    /// with --desk, the collector, then the console and its operations port [default: 3000, 3001,
    /// 9000 to 9004, 9010 and 9011]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port_base: Option<u16>,
}

pub(crate) async fn up(options: &Options) -> anyhow::Result<ExitCode> {
    let lock = state::lock()?;
    if let Some(state) = State::load()? {
        if let Some(code) = already_up(&state, options)? {
            return Ok(code);
        }
        // Left by a killed `up`, or by a reboot.
        down::stop(&state).await?;
    }

    let started = tokio::select! {
        result = Box::pin(start(options)) => result,
        signal = stop_signal() => signal.and_then(|()| bail!("interrupted while starting")),
    };
    let addresses = match started {
        Ok(addresses) => addresses,
        Err(error) => {
            print_error(&format!("{error:#}"));
            if let Some(state) = State::load()? {
                down::stop(&state).await?;
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    welcome::welcome(&addresses, options.detach)?;
    drop(lock);
    if options.detach {
        return Ok(ExitCode::SUCCESS);
    }

    let stopped_from_elsewhere = tokio::select! {
        result = tail_logs::tail_logs() => result.map(|()| true),
        signal = stop_signal() => signal.map(|()| false),
    };
    if matches!(stopped_from_elsewhere, Ok(true)) {
        progress("The stack was stopped from elsewhere.");
        return Ok(ExitCode::SUCCESS);
    }
    line("");
    down::down(false).await?;
    stopped_from_elsewhere.map(|_| ExitCode::SUCCESS)
}

/// What to return if a stack is up; `None` if none of its processes runs.
fn already_up(state: &State, options: &Options) -> anyhow::Result<Option<ExitCode>> {
    let mut dead: Vec<&str> = Vec::new();
    for service in &state.services {
        if service.alive().is_none() {
            dead.push(service.name.text());
        }
    }
    if state.own_postgres && own_postgres()?.process().is_none() {
        dead.push(Name::Postgres.text());
    }
    if state.own_rabbitmq && own_rabbitmq()?.process().is_none() {
        dead.push(Name::Rabbitmq.text());
    }
    let all =
        state.services.len() + usize::from(state.own_postgres) + usize::from(state.own_rabbitmq);
    if dead.len() == all {
        return Ok(None);
    }
    if let Some(first) = dead.first() {
        bail!(
            "the stack is up, but without {}; `cargo xtask restart {first}` starts that again, \
             `cargo xtask down` stops the rest",
            dead.join(", ")
        );
    }
    let same = state.port_base == options.port_base
        && state.release == options.release
        && state.desk == options.desk;
    let Some(addresses) = state.addresses.as_ref().filter(|_| same && options.detach) else {
        bail!(
            "the stack is already up; `cargo xtask status` shows it, `cargo xtask down` stops it"
        );
    };
    progress("The stack is already up.");
    welcome::welcome(addresses, true)?;
    Ok(Some(ExitCode::SUCCESS))
}

async fn start(options: &Options) -> anyhow::Result<Addresses> {
    let ports = ServicePorts::new(options.port_base, options.desk)?;
    ports.check_free()?;
    let given = ExternalServers::from_environment();
    let mut state = State {
        port_base: options.port_base,
        release: options.release,
        desk: options.desk,
        own_postgres: given.needs_postgres(),
        own_rabbitmq: given.needs_rabbitmq(),
        bin_dir: PathBuf::new(),
        settings: settings_from_environment(),
        addresses: None,
        services: Vec::new(),
    };
    state.save()?;
    // The compiler takes minutes; the servers are installed and started meanwhile.
    let (bin_dir, servers) = tokio::try_join!(
        Box::pin(build(options.release)),
        Box::pin(servers::start(&state, &given, &ports))
    )?;
    state.bin_dir = bin_dir;
    let addresses = Addresses::new(&ports, servers);
    state.addresses = Some(addresses.clone());
    roles::prepare(&state, &given, &addresses).await?;
    start_services(&mut state, &ports, &addresses).await?;
    state::write_env(&addresses)?;
    Ok(addresses)
}

/// Builds the services and returns the folder in which their programs lie.
async fn build(release: bool) -> anyhow::Result<PathBuf> {
    progress("Building the services …");
    // jemalloc makes programs fast and compiling slow.
    let without_jemalloc: &[&str] =
        &["--no-default-features", "--features", "outbox-relay/console"];
    let options = if release { &["--release"] } else { without_jemalloc };
    let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
    let built = stack::build_services(&options).await?;
    let program = built.get(stack::SERVICES[0]).context("cargo built no order-service")?;
    Ok(program.parent().context("a program lies in a folder")?.to_owned())
}

async fn start_services(
    state: &mut State,
    ports: &ServicePorts,
    addresses: &Addresses,
) -> anyhow::Result<()> {
    progress("Starting the services …");
    state::write_inboxes(addresses)?;
    let mut started: Vec<Process> = Vec::new();
    for (name, command) in commands(ports, addresses, &state::inboxes_file()?) {
        // The first thing that the console shows is not a pipeline that is still starting.
        if name == Name::Console {
            wait_for_all(state, &started).await?;
        }
        truncate(&state::log(name)?)?;
        state.services.push(Service { name, command, process: None });
        started.push(services::start(state, name)?);
    }
    wait_for_all(state, &started).await
}

/// Waits until each service that was just started is ready.
async fn wait_for_all(state: &State, started: &[Process]) -> anyhow::Result<()> {
    for (service, process) in state.services.iter().zip(started) {
        services::wait(service, process).await?;
    }
    Ok(())
}

/// Waits for Ctrl-C, `kill`, or a hangup.
pub(crate) async fn stop_signal() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
