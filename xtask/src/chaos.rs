//! `chaos`: puts faults into the whole pipeline under load.

use std::process::ExitCode;

use anyhow::Context;

use crate::terminal::print_note;

pub(crate) fn run(is_dev: bool, args: &[String]) -> anyhow::Result<ExitCode> {
    let missing = [stack::missing(), stack::missing_for_chaos()].concat();
    stack::install(&missing, print_note)?;
    stack::check_versions(&["postgresql", "rabbitmq-server"])?;
    let mut chaos = stack::cargo();
    // All connections pass through the run itself. Without optimisation that is what is slow.
    let profile = if is_dev { "dev" } else { "trial" };
    chaos.args(["run", "--quiet", "--profile", profile, "--package", "chaos", "--"]);
    let status = chaos.args(args).status().context("cannot start cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
