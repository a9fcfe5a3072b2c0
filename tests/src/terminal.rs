//! `outbox-relay` on a terminal, with typed input.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::command::Ended;
use crate::outbox::Outbox;

/// How long a command may take, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(240);

/// Runs a command on a pseudo-terminal, and types `typed`.
///
/// # Errors
/// When it can't be started or does not end in time.
pub async fn on_a_terminal(
    outbox: &Outbox,
    arguments: &[&str],
    typed: &str,
) -> anyhow::Result<Ended> {
    on_a_terminal_after(outbox, arguments, async { Ok(()) }, typed).await
}

/// Runs a command on a pseudo-terminal, and types `typed` once `ready` has completed.
///
/// # Errors
/// When it can't be started or does not end in time, or when `ready` fails.
pub async fn on_a_terminal_after(
    outbox: &Outbox,
    arguments: &[&str],
    ready: impl Future<Output = anyhow::Result<()>>,
    typed: &str,
) -> anyhow::Result<Ended> {
    let settings = [
        ("DATABASE_URL", outbox.relay_url.as_str()),
        ("RABBITMQ_URL", outbox.vhost.amqp_url.as_str()),
    ];
    run_on_a_terminal(&settings, arguments, ready, typed).await
}

/// Runs the program with `arguments` and only the variables in `settings` on a pseudo-terminal, and
/// types `typed` once `ready` has completed.
///
/// # Errors
/// When it can't be started or does not end in time, or when `ready` fails.
pub async fn run_on_a_terminal(
    settings: &[(&str, &str)],
    arguments: &[&str],
    ready: impl Future<Output = anyhow::Result<()>>,
    typed: &str,
) -> anyhow::Result<Ended> {
    let pty = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let mut command = Command::new(stack::python()?);
    // Python may need this shell's variables; the program inherits none of them.
    command.args(["-c", pty, "env", "-i", "TERM=xterm"]);
    command.args(settings.iter().map(|(name, value)| format!("{name}={value}")));
    command.arg(stack::binary("outbox-relay").await?).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("a pipe")?;
    ready.await?;
    stdin.write_all(typed.as_bytes()).await?;
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await??;
    // Kept open until then: closing it would hang up the terminal.
    drop(stdin);
    let out = String::from_utf8(output.stdout)?;
    Ok(Ended { code: output.status.code(), out, err: String::new() })
}
