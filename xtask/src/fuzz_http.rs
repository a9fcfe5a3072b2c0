//! `fuzz-http`: sends generated requests to the HTTP APIs.

use std::process::ExitCode;

use anyhow::Context;

use crate::terminal::print_note;

pub(crate) fn run(args: &[String]) -> anyhow::Result<ExitCode> {
    stack::install(&stack::missing(), print_note)?;
    stack::check_versions(&["postgresql", "rabbitmq-server"])?;
    stack::python()?;
    let mut fuzz = stack::cargo();
    // Without a package: what the tests have compiled is compiled with the features of all.
    fuzz.args(["run", "--quiet", "--bin", "fuzz-http", "--"]);
    let status = fuzz.args(args).status().context("cannot start cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
