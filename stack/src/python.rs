//! Finds a Python that can create virtual environments, for the tests of the examples in other
//! languages.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::install::command_for_people;

/// The Debian package that provides it.
pub(crate) const PACKAGE: &str = "python3-venv";

/// The first `python3` in PATH, 3.10 or later, that can create virtual environments; on Debian that
/// takes an extra package.
///
/// # Errors
/// When there is none, with the command that installs it.
pub fn python() -> anyhow::Result<PathBuf> {
    found().with_context(|| {
        format!(
            "no python3 (3.10 or later) that can make virtual environments is installed: run `cargo xtask test`, which installs it \
             where it may, or install it yourself: {}",
            command_for_people(&[PACKAGE])
        )
    })
}

pub(crate) fn found() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("python3")).find(|python| {
        let mut modules = Command::new(python);
        modules.args(["-c", "import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 10))"]);
        modules.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        modules.status().is_ok_and(|status| status.success())
    })
}
