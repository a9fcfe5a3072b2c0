//! The last commit in a folder of its own, where mutants are made and tested.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::nextest;

/// The exit status of cargo-nextest when a test failed.
const TEST_FAILED: i32 = 100;

/// What became of a mutant.
pub(super) struct Outcome {
    pub(super) failed_tests: Vec<String>,
    took: Duration,
}

impl Outcome {
    /// Which tests noticed the mutant.
    pub(super) fn found_by(&self) -> String {
        match self.failed_tests.as_slice() {
            [] => "**not found**".to_owned(),
            [test] => format!("`{test}`"),
            [test, others @ ..] => format!("`{test}` and {} more", others.len()),
        }
    }

    pub(super) const fn seconds(&self) -> u64 {
        self.took.as_secs()
    }
}

/// See the [module](self).
pub(super) struct Tree {
    pub(super) folder: PathBuf,
    path: std::ffi::OsString,
}

impl Tree {
    pub(super) fn make() -> anyhow::Result<Self> {
        let folder = stack::root().join("target/mutants/tree");
        if folder.is_dir() {
            git(&folder, &["checkout", "--quiet", "--force", "--detach"])?;
        } else {
            let place = folder.to_str().context("a folder with a name in UTF-8")?;
            git(stack::root(), &["worktree", "prune"])?;
            git(stack::root(), &["worktree", "add", "--quiet", "--detach", place])?;
        }
        let head =
            Command::new("git").args(["rev-parse", "HEAD"]).current_dir(stack::root()).output()?;
        git(&folder, &["checkout", "--quiet", String::from_utf8(head.stdout)?.trim()])?;
        Ok(Self { folder, path: nextest::path()? })
    }

    pub(super) fn apply(&self, patch: &Path) -> anyhow::Result<()> {
        git(&self.folder, &["apply", patch.to_str().context("a file with a name in UTF-8")?])
    }

    /// Runs cargo-nextest with these arguments, and undoes the change.
    pub(super) fn test(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Outcome> {
        let start = Instant::now();
        let mut tests = stack::cargo();
        tests.args(["nextest", "run", "--color", "never"]).args(arguments);
        tests.env("PATH", &self.path).env("CARGO_TARGET_DIR", self.folder.with_file_name("build"));
        let output = tests.current_dir(&self.folder).output().context("cannot start cargo")?;
        let took = start.elapsed();
        git(&self.folder, &["checkout", "--quiet", "."])?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() && output.status.code() != Some(TEST_FAILED) {
            bail!("{name} does not compile, or there is no such test:\n{said}");
        }
        let mut failed_tests: Vec<String> = said.lines().filter_map(failed_test).collect();
        failed_tests.sort();
        failed_tests.dedup();
        Ok(Outcome { failed_tests, took })
    }
}

/// The test of a line as `FAIL [ 1.2s] (1/2) pipeline-tests::orders a_test`.
fn failed_test(text: &str) -> Option<String> {
    let text = text.trim_start();
    let rest = text.strip_prefix("FAIL ").or_else(|| text.strip_prefix("TIMEOUT "))?;
    rest.split_whitespace().last().map(ToOwned::to_owned)
}

fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("git").args(arguments).current_dir(folder).output();
    let output = output.context("cannot start git")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {}: {}", arguments.join(" "), said.trim());
    Ok(())
}
