//! customer-service: see the library for what it does.

use std::io::Write as _;
use std::process::ExitCode;

use customer_service::config::{Cli, Command};
use customer_service::{api, consumer, schema};
use service_kit::{config, postgres, process};

fn main() -> ExitCode {
    match config::parse::<Cli>().command {
        Command::Api(config) => {
            let process = config.process.clone();
            process::run(&process, |shutdown| api::start(*config, shutdown))
        }
        Command::Consumer(config) => {
            let process = config.process.clone();
            process::run(&process, |shutdown| consumer::start(*config, shutdown))
        }
        Command::Migrate(config) => process::run(&config.process, async |_| {
            postgres::migrate(config.database.url(), schema::migrations()).await?;
            Ok(())
        }),
        Command::Openapi { format } => {
            let printed = api::document(format)
                .and_then(|text| Ok(std::io::stdout().write_all(text.as_bytes())?));
            printed.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
    }
}
