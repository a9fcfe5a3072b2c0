//! `mutants`: breaks one guarantee after the other, and says which test notices it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::nextest;
use crate::terminal::{line, progress};

/// The exit status of cargo-nextest when a test failed.
const TEST_FAILED: i32 = 100;
/// The line of a patch that names the tests to run, as arguments of cargo-nextest.
const TESTS: &str = "Tests: ";

/// A patch below `tests/mutants`.
struct Mutant {
    name: String,
    patch: PathBuf,
    /// What it breaks: the patch's first line.
    breaks: String,
    tests: Vec<String>,
}

/// What became of a mutant.
struct Outcome {
    failed_tests: Vec<String>,
    took: Duration,
}

/// Runs the tests of the mutants with these names, or of all.
pub(crate) fn run(names: &[String]) -> anyhow::Result<ExitCode> {
    let mutants: Vec<Mutant> = all()?
        .into_iter()
        .filter(|mutant| names.is_empty() || names.contains(&mutant.name))
        .collect();
    ensure!(
        names.is_empty() || mutants.len() == names.len(),
        "tests/mutants/ has no patch with one of these names: {}",
        names.join(", ")
    );
    let tree = Tree::make()?;
    let mut outcomes = Vec::new();
    for mutant in &mutants {
        progress(&format!("{}: {}", mutant.name, mutant.breaks));
        let outcome = tree.try_mutant(mutant)?;
        progress(&match outcome.failed_tests.first() {
            Some(test) => format!("found by {test}"),
            None => "NOT FOUND".to_owned(),
        });
        outcomes.push(outcome);
    }
    line("| mutant | what it breaks | found by | after |\n|---|---|---|---|");
    for (mutant, outcome) in mutants.iter().zip(&outcomes) {
        let found = match outcome.failed_tests.as_slice() {
            [] => "**not found**".to_owned(),
            [test] => format!("`{test}`"),
            [test, others @ ..] => format!("`{test}` and {} more", others.len()),
        };
        let seconds = outcome.took.as_secs();
        line(&format!("| {} | {} | {found} | {seconds} s |", mutant.name, mutant.breaks));
    }
    let all_found = outcomes.iter().all(|outcome| !outcome.failed_tests.is_empty());
    Ok(if all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn all() -> anyhow::Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for entry in stack::root().join("tests/mutants").read_dir()? {
        let patch = entry?.path();
        if patch.extension().is_some_and(|extension| extension == "patch") {
            mutants.push(read(patch)?);
        }
    }
    mutants.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(mutants)
}

fn read(patch: PathBuf) -> anyhow::Result<Mutant> {
    let place = patch.display().to_string();
    let text = std::fs::read_to_string(&patch).with_context(|| place.clone())?;
    let name = patch.file_stem().context("a file has a name")?.to_string_lossy().into_owned();
    let breaks = text.lines().next().unwrap_or_default().to_owned();
    let tests = text.lines().find_map(|line| line.strip_prefix(TESTS));
    let tests = tests.with_context(|| format!("{place} has no line that begins with {TESTS:?}"))?;
    let tests = tests.split_whitespace().map(ToOwned::to_owned).collect();
    Ok(Mutant { name, patch, breaks, tests })
}

/// The last commit in a folder of its own.
struct Tree {
    folder: PathBuf,
    path: std::ffi::OsString,
}

impl Tree {
    fn make() -> anyhow::Result<Self> {
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

    fn try_mutant(&self, mutant: &Mutant) -> anyhow::Result<Outcome> {
        let patch = mutant.patch.to_str().context("a file with a name in UTF-8")?;
        git(&self.folder, &["apply", patch])?;
        let start = Instant::now();
        let mut tests = stack::cargo();
        tests.args(["nextest", "run", "--no-fail-fast", "--color", "never"]).args(&mutant.tests);
        tests.env("PATH", &self.path).env("CARGO_TARGET_DIR", self.folder.with_file_name("build"));
        let output = tests.current_dir(&self.folder).output().context("cannot start cargo")?;
        let took = start.elapsed();
        git(&self.folder, &["checkout", "--quiet", "."])?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() && output.status.code() != Some(TEST_FAILED) {
            bail!("{} does not compile, or there is no such test:\n{said}", mutant.name);
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
