//! `bench`: measures the whole pipeline against its limits, or the console.

use std::process::ExitCode;

use anyhow::Context;

use crate::terminal::{print_error, print_note};

pub(crate) fn run(args: &[String]) -> anyhow::Result<ExitCode> {
    // Standard output is for the table or JSON only.
    stack::install(&stack::missing(), print_note)?;
    stack::check_versions(&["postgresql", "rabbitmq-server"])?;
    let mut bench = stack::cargo();
    bench.args(["run", "--quiet", "--release", "--package", "bench", "--"]);
    if args.first().is_none_or(|first| first != "console") {
        bench.arg("suite");
    }
    let status = bench.args(args).status().context("cannot start cargo")?;
    if !status.success() {
        print_error("the benchmark has no result");
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
