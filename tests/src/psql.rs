//! `psql`, for the files that people run with it.

use std::process::Command;

/// `psql` without the user's settings and variables; stops at the first error.
///
/// # Errors
/// When it is not installed.
pub fn psql() -> anyhow::Result<Command> {
    let mut psql = Command::new(stack::psql()?);
    // Debian's may be a script, whose interpreter is found in PATH.
    psql.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    psql.args(["-X", "-v", "ON_ERROR_STOP=1"]);
    Ok(psql)
}
