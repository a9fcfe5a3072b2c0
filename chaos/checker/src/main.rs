//! `chaos-checker FOLDER`: prints the verdict on the history of a run.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use chaos_checker::{History, Verdict};
use clap::Parser;

/// Holds the history of a chaos run against what the pipeline guarantees.
///
/// Exit status 0 when every check holds, 1 when one does not, 2 when the history can't be read.
#[derive(Parser)]
#[command(name = "chaos-checker")]
struct Cli {
    /// The folder with the history
    folder: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let history = match History::read(&cli.folder) {
        Ok(history) => history,
        Err(error) => {
            writeln!(std::io::stderr(), "chaos-checker: {error:#}").ok();
            return ExitCode::from(2);
        }
    };
    let verdict = Verdict::on(&history);
    let said = if cli.json { format!("{:#}", verdict.json()) } else { verdict.to_string() };
    writeln!(std::io::stdout(), "{}", said.trim_end()).ok();
    if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
