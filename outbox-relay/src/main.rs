//! Publishes the rows of a PostgreSQL `outbox` table to RabbitMQ.

use std::process::ExitCode;

use clap::CommandFactory as _;
use outbox_relay::{Cli, Command};
use service_kit::{config, healthcheck, ops, process};

fn main() -> ExitCode {
    let cli = config::parse::<Cli>();
    match cli.command {
        Command::Admin(command) => return command.run(),
        Command::Manual(command) => return command.run(Cli::command()),
        #[cfg(feature = "console")]
        Command::Console(config) => return config.run(),
        Command::Health { ops_addr } => return healthcheck::run(&ops_addr),
        Command::Run(_) => {}
    }
    let config = match cli.into_config() {
        Ok(config) => config,
        Err(sentence) => config::exit_with(&sentence),
    };
    process::run_single_threaded("outbox-relay", &config.process.clone(), |shutdown| async move {
        let listener = ops::bind(&config.ops_addr, "OPS_ADDR").await?;
        outbox_relay::run(config, listener, shutdown).await
    })
}
