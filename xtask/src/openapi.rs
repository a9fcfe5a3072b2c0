//! `openapi`: writes the documents in `openapi/`, as the services print them.

use std::process::{ExitCode, Stdio};

use anyhow::{Context, ensure};

use crate::state::relative;
use crate::terminal::{print_error, progress};

pub(crate) fn run(check: bool) -> anyhow::Result<ExitCode> {
    let mut stale = false;
    for service in ["order-service", "customer-service"] {
        let document = print_by(service)?;
        let path = stack::root().join("openapi").join(format!("{service}.yaml"));
        if std::fs::read(&path).is_ok_and(|known| known == document) {
            progress(&format!("{} is up to date.", relative(&path)));
        } else if check {
            let path = relative(&path);
            print_error(&format!("{path} is stale; `cargo xtask openapi` writes it"));
            stale = true;
        } else {
            let next = path.with_extension("yaml.new");
            let written = std::fs::write(&next, &document);
            written
                .and_then(|()| std::fs::rename(&next, &path))
                .with_context(|| format!("cannot write {}", path.display()))?;
            progress(&format!("Wrote {}.", relative(&path)));
        }
    }
    Ok(if stale { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print_by(service: &str) -> anyhow::Result<Vec<u8>> {
    let mut command = stack::cargo();
    command.args(["run", "-p", service, "--bin", service, "--", "openapi"]);
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "`{service} openapi` failed ({})", output.status);
    ensure!(!output.stdout.is_empty(), "`{service} openapi` printed nothing");
    Ok(output.stdout)
}
