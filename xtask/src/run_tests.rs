//! `test`: runs every test of the workspace.

use std::env;
use std::num::NonZero;
use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::Context;

use crate::nextest;
use crate::terminal::progress;

/// How many tests run at the same time; `--test-threads` wins. See
/// <https://nexte.st/docs/configuration/env-vars/>.
const THREADS: &str = "NEXTEST_TEST_THREADS";

pub(crate) fn run(args: &[String]) -> anyhow::Result<ExitCode> {
    stack::install(&stack::missing(), progress)?;
    stack::check_versions(&["postgresql", "rabbitmq-server"])?;
    // Only the tests of the examples in other languages need it, and it speeds up installing the
    // runner.
    if let Err(error) = stack::install(&stack::missing_for_tests(), progress) {
        progress(&format!("{error:#}. Without it the tests of the examples fail."));
    }
    if let Err(error) = stack::install(&stack::missing_browser(), progress) {
        progress(&format!("{error:#}. Without it the tests of the console in a browser fail."));
    }
    let path = nextest::path()?;

    progress("Building the programs that the tests start …");
    let release = args.iter().find(|arg| *arg == "--release" || *arg == "-r").cloned();
    let packages: Vec<&str> = stack::SERVICES.into_iter().chain(["stack"]).collect();
    let built = stack::build(&packages, release.as_slice())?;
    let program = built.values().next().context("cargo built no programs")?;
    let bin_dir = program.parent().context("a program lies in a folder")?;

    let mut tests = stack::cargo();
    tests.args(["nextest", "run"]).env("PATH", path);
    let names_packages = |arg: &String| arg.starts_with("-p") || arg.starts_with("--package");
    if !args.iter().any(names_packages) {
        tests.arg("--workspace");
    }
    if env::var_os(THREADS).is_none() {
        // A test waits for servers half of its time.
        let cores = available_parallelism().map_or(1, NonZero::get);
        tests.env(THREADS, (2 * cores).to_string());
    }
    let status = tests.args(args).env("STACK_BIN_DIR", bin_dir).status();
    let status = status.context("cannot start cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
