//! The command line; the doc comments are the help texts.

use clap::Parser;

/// Sends generated requests to the three HTTP APIs, and holds every answer against the OpenAPI
/// document.
///
/// Starts PostgreSQL, RabbitMQ, the order service, the customer service and the console for itself.
/// Schemathesis, which PyPI provides, draws valid and invalid requests from openapi/*.yaml. Exit
/// status 0 when every answer was as documented, 1 when one was not, was 5xx or did not come in
/// time (with the curl command that repeats the request), 2 when the run itself failed.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask fuzz-http", bin_name = "cargo xtask fuzz-http")]
pub(crate) struct Cli {
    /// How many requests at least, in all; each API gets what it answers in the same time
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub(crate) requests: u64,
    /// What the requests are drawn from [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u32>,
}
