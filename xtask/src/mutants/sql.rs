//! Mutants of the statements in `sql/*/queries`, made by rules.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use super::rules::mutations;
use super::tree::Tree;
use crate::terminal::{line, progress};

/// The tests of a statement, as arguments of cargo-nextest, by the beginning of its name. The first
/// that fits counts.
const TESTS: [(&str, &str); 17] = [
    ("customer/find_locked_customers", "--test consumer lock_waits::"),
    ("customer/find_missing", "--test consumer check::"),
    ("customer/has_customers", "--test consumer --test services check:: service_query_plans::"),
    (
        "customer/find_schema",
        "--test consumer --test services process:: migrations:: database_down::",
    ),
    ("customer/prune_events", "--test consumer retention::"),
    ("customer/list_customers", "--test services customers_api::"),
    ("customer/", "--test consumer"),
    (
        "order/find_order",
        "--test services orders_create:: orders_idempotency:: orders_batched_reads:: orders_status:: service_query_plans::",
    ),
    ("order/list", "--test services orders_list:: service_query_plans::"),
    ("order/prune", "--test services orders_idempotency:: service_query_plans::"),
    ("order/", "--test services orders_"),
    ("relay/prune", "--test relay retention:: lock_waits::"),
    ("relay/forget", "--test relay retention:: lock_waits:: unsettled"),
    (
        "relay/settle",
        "--test relay unsettled faults:: edge_cases:: lock_waits:: stuck:: order:: retention::",
    ),
    (
        "relay/scan",
        "--test relay order:: watermark:: stuck:: scheduled pauses:: held_back:: lock_waits:: query_plans:: unusual_ids:: lanes::",
    ),
    ("relay/", "--test relay --test servers"),
    ("dead-letters/", "--test dead_letters"),
];

/// Which mutants to test.
pub(crate) enum Chosen {
    /// None: they are listed.
    None,
    Named(Vec<String>),
    /// So many, by a seed.
    Sample(usize, u64),
}

struct Mutant {
    name: String,
    what: String,
    /// Relative to the root.
    file: PathBuf,
    sql: String,
}

/// Lists the mutants, or tests those that are chosen.
pub(crate) fn run(chosen: &Chosen) -> anyhow::Result<ExitCode> {
    let mut mutants = all()?;
    let count = mutants.len();
    match chosen {
        Chosen::None => {
            line("| mutant | what it changes |\n|---|---|");
            for Mutant { name, what, .. } in &mutants {
                line(&format!("| {name} | {what} |"));
            }
            progress(&format!("{count} mutants"));
            return Ok(ExitCode::SUCCESS);
        }
        Chosen::Named(names) => {
            mutants.retain(|mutant| names.contains(&mutant.name));
            ensure!(
                mutants.len() == names.len(),
                "no such mutant: see `cargo xtask mutants --sql`"
            );
        }
        Chosen::Sample(size, seed) => {
            mutants.sort_by_cached_key(|mutant| {
                let mut hasher = DefaultHasher::new();
                (seed, &mutant.name).hash(&mut hasher);
                hasher.finish()
            });
            mutants.truncate(*size);
        }
    }
    let tree = Tree::make()?;
    let mut survivors = 0;
    line("| mutant | what it changes | found by | after |\n|---|---|---|---|");
    for Mutant { name, what, file, sql } in &mutants {
        progress(&format!("{name}: {what}"));
        let tests = TESTS.iter().find(|(beginning, _)| name.starts_with(beginning));
        let (_, tests) = tests.with_context(|| format!("no tests for {name}"))?;
        std::fs::write(tree.folder.join(file), sql)?;
        let package = ["--fail-fast", "-p", "pipeline-tests"];
        let arguments: Vec<&str> = package.into_iter().chain(tests.split(' ')).collect();
        let outcome = tree.test(name, &arguments)?;
        survivors += usize::from(outcome.failed_tests.is_empty());
        line(&format!("| {name} | {what} | {} | {} s |", outcome.found_by(), outcome.seconds()));
    }
    progress(&format!("{survivors} of {} survived, of {count} there are", mutants.len()));
    Ok(if survivors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every mutant, by name: `customer/count_events-3`.
fn all() -> anyhow::Result<Vec<Mutant>> {
    let mut files = Vec::new();
    for folder in stack::root().join("sql").read_dir()? {
        let queries = folder?.path().join("queries");
        if queries.is_dir() {
            for file in queries.read_dir()? {
                files.push(file?.path());
            }
        }
    }
    files.sort();
    let mut mutants = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let file = path.strip_prefix(stack::root())?.to_owned();
        let place = file.with_extension("").display().to_string();
        let place = place.trim_start_matches("sql/").replace("/queries/", "/");
        for (number, mutation) in (1..).zip(mutations(&text)) {
            let what = format!("{} in line {}", mutation.rule, mutation.line);
            let (file, sql) = (file.clone(), mutation.sql);
            mutants.push(Mutant { name: format!("{place}-{number}"), what, file, sql });
        }
    }
    Ok(mutants)
}
