//! `soak`: runs the pipeline for hours, and says whether it uses more and more.

use std::process::ExitCode;

use anyhow::Context;

use crate::terminal::{print_error, print_note};

pub(crate) fn run(is_dev: bool, args: &[String]) -> anyhow::Result<ExitCode> {
    stack::install(&stack::missing(), print_note)?;
    stack::check_versions(&["postgresql", "rabbitmq-server"])?;
    let mut soak = stack::cargo();
    soak.args(["run", "--quiet", "--package", "bench"]);
    if is_dev {
        let built = stack::build(&stack::SERVICES, &[])?;
        let program = built.values().next().context("cargo built no programs")?;
        soak.args(["--", "soak", "--programs"]).arg(program.parent().context("a folder")?);
    } else {
        soak.args(["--release", "--", "soak"]);
    }
    let status = soak.args(args).status().context("cannot start cargo")?;
    if !status.success() {
        print_error("the soak has failed");
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
