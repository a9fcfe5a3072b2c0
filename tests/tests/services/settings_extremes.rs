//! Each setting of each process at 0, negative, huge, blank, and as something else: the process
//! ends with one sentence that names it and with status 64, or it works.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::{Command, CommandFactory as _};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use stack::Service;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// The long-running processes, with their arguments.
const PROCESSES: [(&str, &[&str]); 6] = [
    ("order-service", &["serve"]),
    ("outbox-relay", &["run"]),
    ("customer-service", &["api"]),
    ("customer-service", &["consumer"]),
    ("outbox-relay", &["dead-letters", "collect", "--follow"]),
    ("outbox-relay", &["console"]),
];
/// Servers that refuse connections: a process waits for them, if its settings are right.
const USUAL: [(&str, &str); 6] = [
    ("DATABASE_URL", "postgres://user:hunter2@127.0.0.1:1/database"),
    ("RABBITMQ_URL", "amqp://user:hunter2@127.0.0.1:1"),
    ("DEAD_LETTERS_DATABASE_URL", "postgres://user:hunter2@127.0.0.1:1/database"),
    ("DEAD_LETTERS_QUEUE", "letters"),
    ("LISTEN_ADDR", "127.0.0.1:0"),
    ("CONSOLE_ADDR", "127.0.0.1:0"),
];
const VALUES: [&str; 8] =
    ["0", "-1", "99999999999999999999999", "", " ", "5 parsecs", "žluťoučký\u{202e}", "1e999"];
/// How long a process may take to say what it makes of a setting.
const PATIENCE: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 6;

/// A process with one setting that is unusual.
#[derive(Debug)]
struct Case {
    program: &'static str,
    arguments: &'static [&'static str],
    variable: String,
    value: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_is_refused_by_name_or_works() -> anyhow::Result<()> {
    let cases = cases();
    ensure!(cases.len() > 600, "{} cases", cases.len());
    let refused: Vec<bool> =
        stream::iter(cases).map(try_out).buffer_unordered(AT_ONCE).try_collect().await?;
    let refused = refused.into_iter().filter(|refused| *refused).count();
    // A check that accepts everything, or a process that never starts, is no check.
    ensure!((200..600).contains(&refused), "{refused} settings were refused");
    Ok(())
}

/// Each variable once, with the first process that reads it.
fn cases() -> Vec<Case> {
    let mut seen = BTreeSet::new();
    let mut cases = Vec::new();
    for (program, arguments) in PROCESSES {
        let cli = match program {
            "order-service" => order_service::Cli::command(),
            "outbox-relay" => outbox_relay::Cli::command(),
            _ => customer_service::config::Cli::command(),
        };
        let names = arguments.iter().take_while(|argument| !argument.starts_with('-'));
        let command = names.fold(&cli, |command: &Command, name| {
            command.find_subcommand(name).expect("a command of the program")
        });
        for variable in command.get_arguments().filter_map(|argument| argument.get_env()?.to_str())
        {
            if seen.insert(variable.to_owned()) {
                cases.extend(VALUES.map(|value| Case {
                    program,
                    arguments,
                    variable: variable.to_owned(),
                    value: value.to_owned(),
                }));
            }
        }
    }
    cases
}

/// Returns whether the process refuses the setting.
async fn try_out(case: Case) -> anyhow::Result<bool> {
    let Case { program, arguments, variable, value } = &case;
    let address = format!("127.0.0.1:{}", stack::free_port()?);
    let usual = USUAL.into_iter().chain([("OPS_ADDR", address.as_str())]);
    let usual = usual.filter(|(name, _)| name != variable);
    let settings = usual.chain([(variable.as_str(), value.as_str())]);
    let process = Service::spawn(stack::binary(program).await?, *arguments, settings).await?;
    let end = Instant::now() + PATIENCE;
    while process.is_running() {
        // Whatever a process says once it has opened its port is about its servers.
        if TcpStream::connect(&address).await.is_ok() {
            ensure!(!process.log().contains("panicked"), "{case:?}: {}", process.last_lines());
            return Ok(false);
        }
        ensure!(Instant::now() < end, "{case:?} neither ends nor starts: {}", process.last_lines());
        sleep(Duration::from_millis(20)).await;
    }
    let said = process.log();
    let status = process.wait_exit(PATIENCE).await?;
    ensure!(status.code() == Some(64), "{case:?}: {status}: {said}");
    ensure!(said.lines().count() == 1, "{case:?}: not one sentence: {said}");
    ensure!(said.contains(variable.as_str()), "{case:?} is not named: {said}");
    ensure!(!said.contains("hunter2"), "{case:?}: {said}");
    Ok(true)
}
