//! customer-service: see the library for what it does.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use customer_service::config::{Cli, Command};
use customer_service::consumer::ConsumerCommand;
use customer_service::schema::{ROLES, SCHEMA};
use customer_service::{api, consumer};
use service_kit::{config, healthcheck, process};

fn main() -> ExitCode {
    match config::parse::<Cli>().command {
        Command::Api(config) => {
            let process = config.process.clone();
            let delay = config.serve.shutdown_delay;
            process::run("customer-service", &process, delay, |shutdown| {
                api::start(*config, shutdown)
            })
        }
        Command::Consumer(ConsumerCommand::Check(args)) => args.run(),
        Command::Consumer(ConsumerCommand::RebuildQueue(args)) => args.run(),
        Command::Consumer(ConsumerCommand::Consume(config)) => {
            let process = config.process.clone();
            process::run_single_threaded("customer-consumer", &process, |shutdown| {
                consumer::start(*config, shutdown)
            })
        }
        Command::Migrate(config) => {
            process::run("customer-service", &config.process, Duration::ZERO, |shutdown| {
                SCHEMA.migrate(config.database.url(), shutdown)
            })
        }
        Command::Health { ops_addr } => healthcheck::run(&ops_addr),
        Command::Roles => print(ROLES),
        Command::Openapi { format } => print(&api::openapi_document(format)),
    }
}

fn print(text: &str) -> ExitCode {
    let printed = std::io::stdout().write_all(text.as_bytes());
    printed.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}
