//! `mutants`: breaks one guarantee after the other, and says which test notices it.

mod rules;
mod sql;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use crate::terminal::{line, progress};
use tree::Tree;

pub(crate) use sql::{Chosen, run as run_sql};

/// The line of a patch that names the tests to run, as arguments of cargo-nextest.
const TESTS: &str = "Tests: ";

/// A patch below `tests/mutants`.
struct Mutant {
    name: String,
    patch: PathBuf,
    /// What it breaks: the patch's first line.
    breaks: String,
    tests: String,
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
        tree.apply(&mutant.patch)?;
        let tests = mutant.tests.split_whitespace();
        let arguments: Vec<&str> = std::iter::once("--no-fail-fast").chain(tests).collect();
        let outcome = tree.test(&mutant.name, &arguments)?;
        progress(&outcome.found_by());
        outcomes.push(outcome);
    }
    line("| mutant | what it breaks | found by | after |\n|---|---|---|---|");
    for (mutant, outcome) in mutants.iter().zip(&outcomes) {
        let (found, seconds) = (outcome.found_by(), outcome.seconds());
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
    Ok(Mutant { name, patch, breaks, tests: tests.to_owned() })
}
