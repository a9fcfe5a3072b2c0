//! The installation of Schemathesis, and one round with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::apis::Api;

const REQUIREMENTS: &str = "fuzz-http/requirements.txt";
const CONFIG: &str = "fuzz-http/schemathesis.toml";

/// Schemathesis, installed below `target/`.
#[derive(Debug)]
pub(crate) struct Schemathesis {
    folder: PathBuf,
}

/// What a round draws its requests from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// The seed.
    pub(crate) seed: u32,
    /// Whether to send the requests that every seed has as well: those of the document's examples,
    /// and one for each constraint.
    pub(crate) is_first: bool,
    /// How many requests for each operation and kind of request, about.
    pub(crate) examples: u64,
}

/// What Schemathesis writes about a round.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) complete: bool,
    pub(crate) test_cases: TestCases,
    pub(crate) failures: Vec<Failure>,
    pub(crate) errors: Vec<Error>,
    /// What it wrote to standard output: requests that failed as curl commands.
    #[serde(skip)]
    pub(crate) text: String,
}

/// The number of requests.
#[derive(Debug, Deserialize)]
pub(crate) struct TestCases {
    pub(crate) generated: u64,
}

/// Answers that are wrong in one way.
#[derive(Debug, Deserialize)]
pub(crate) struct Failure {
    pub(crate) title: String,
    pub(crate) count: u64,
}

/// Requests without an answer, and operations for which no request could be drawn.
#[derive(Debug, Deserialize)]
pub(crate) struct Error {
    pub(crate) title: String,
    pub(crate) count: u64,
}

impl Schemathesis {
    /// Installs it, unless it is there.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let folder = stack::root().join("target/fuzz-http");
        std::fs::create_dir_all(&folder)?;
        let (wanted, note) = (
            std::fs::read_to_string(stack::root().join(REQUIREMENTS))?,
            folder.join("installed.txt"),
        );
        let installed = Self { folder };
        if std::fs::read_to_string(&note).is_ok_and(|known| known == wanted) {
            return Ok(installed);
        }
        let environment = installed.folder.join("python");
        let mut create = Command::new(stack::python()?);
        run(create.args(["-m", "venv", "--clear"]).arg(&environment))?;
        let mut install = Command::new(environment.join("bin/pip"));
        install.args(["install", "--quiet", "--requirement"]);
        run(install.arg(stack::root().join(REQUIREMENTS)))?;
        std::fs::write(note, wanted)?;
        Ok(installed)
    }

    /// Sends the requests of a round to `api`.
    pub(crate) async fn send(&self, api: &Api, round: Round) -> anyhow::Result<Report> {
        // Another run may send to the same API.
        let report = self.folder.join(format!("{}-{}.json", api.name, std::process::id()));
        let phases =
            if round.is_first { "examples,coverage,fuzzing,stateful" } else { "fuzzing,stateful" };
        let program = self.folder.join("python/bin/schemathesis");
        let mut command = tokio::process::Command::new(program);
        command.current_dir(&self.folder).arg("--config-file").arg(stack::root().join(CONFIG));
        command.arg("run").arg(stack::root().join(format!("openapi/{}.yaml", api.name)));
        command.args(["--url", &api.url, "--phases", phases]);
        command.args(["--seed", &round.seed.to_string()]);
        command.args(["--max-examples", &round.examples.to_string()]);
        command.args(["--report", "json", "--report-json-path"]).arg(&report);
        if let Some(header) = &api.header {
            command.args(["--header", header]);
        }
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        let output = command.output().await.context("cannot start schemathesis")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let read = read(&report).with_context(|| text.clone());
        std::fs::remove_file(&report).ok();
        Ok(Report { text, ..read? })
    }
}

fn read(path: &Path) -> anyhow::Result<Report> {
    let json = std::fs::read(path).context("Schemathesis wrote no report")?;
    serde_json::from_slice(&json).context("its report is not as expected")
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed ({status})");
    Ok(())
}
