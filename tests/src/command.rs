//! Runs a program as on a command line: arguments in, two streams and an exit status out.

use std::process::Stdio;

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::pipeline::PATIENCE;

/// The outcome of a command.
#[derive(Debug)]
pub struct Ended {
    /// The exit status; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ended {
    /// Standard output as one JSON document.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("no JSON: {self:?}"))
    }

    /// Standard output as one JSON document per line.
    ///
    /// # Errors
    /// When a line is none.
    pub fn json_lines(&self) -> anyhow::Result<Vec<Value>> {
        let lines = self.out.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        lines.with_context(|| format!("no JSON lines: {self:?}"))
    }
}

/// Runs `program` with `arguments`, only the variables in `settings`, and no terminal.
///
/// # Errors
/// When it can't be started or does not end in time.
pub async fn run(
    program: &str,
    arguments: &[&str],
    settings: &[(&str, &str)],
) -> anyhow::Result<Ended> {
    let mut command = Command::new(stack::binary(program).await?);
    command.args(arguments).env_clear().envs(settings.iter().copied());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output())
        .await
        .with_context(|| format!("{program} {arguments:?} does not end"))??;
    Ok(Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

/// `psql` without the user's settings and variables; stops at the first error.
///
/// # Errors
/// When it is not installed.
pub fn psql() -> anyhow::Result<std::process::Command> {
    let mut psql = std::process::Command::new(stack::psql()?);
    // Debian's may be a script, whose interpreter is found in PATH.
    psql.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    psql.args(["-X", "-v", "ON_ERROR_STOP=1"]);
    Ok(psql)
}
