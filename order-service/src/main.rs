//! The order service's process.

use std::io::Write as _;
use std::process::ExitCode;

use order_service::{Cli, Command, api, app};
use service_kit::{config, probe, process};

fn main() -> ExitCode {
    match config::parse::<Cli>().into_command() {
        Command::Serve(config) => {
            let process = config.process.clone();
            process::run("order-service", &process, |shutdown| app::serve(*config, shutdown))
        }
        Command::Migrate(config) => {
            let process = config.process.clone();
            process::run("order-service", &process, |shutdown| app::migrate(*config, shutdown))
        }
        Command::Health { ops_addr } => probe::health(&ops_addr),
        Command::Openapi { format } => {
            let text = api::document(format);
            match std::io::stdout().write_all(text.as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
    }
}
