//! `openapi`: writes the documents in `openapi/`, as the programs print them.

use std::process::{ExitCode, Stdio};

use anyhow::{Context, ensure};

use crate::state::relative;
use crate::terminal::{print_error, progress};

pub(crate) fn run(check: bool) -> anyhow::Result<ExitCode> {
    let mut stale = false;
    for (program, name) in [
        ("order-service", "order-service"),
        ("customer-service", "customer-service"),
        ("outbox-relay", "outbox-console"),
    ] {
        let document = print_by(program)?;
        let path = stack::root().join("openapi").join(format!("{name}.yaml"));
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

fn print_by(program: &str) -> anyhow::Result<Vec<u8>> {
    let mut command = stack::cargo();
    command.args(["run", "-p", program, "--bin", program, "--", "openapi"]);
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "`{program} openapi` failed ({})", output.status);
    ensure!(!output.stdout.is_empty(), "`{program} openapi` printed nothing");
    Ok(output.stdout)
}
