//! The `order-service` binary.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use order_service::schema::ROLES;
use order_service::{Cli, Command, api, app};
use service_kit::{config, healthcheck, process};

fn main() -> ExitCode {
    match config::parse::<Cli>().into_command() {
        Command::Serve(config) => {
            let process = config.process.clone();
            let delay = config.http.shutdown_delay;
            process::run("order-service", &process, delay, |shutdown| app::serve(*config, shutdown))
        }
        Command::Migrate(config) => {
            let process = config.process.clone();
            process::run("order-service", &process, Duration::ZERO, |shutdown| {
                app::migrate(*config, shutdown)
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
