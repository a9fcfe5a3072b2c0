//! PostgreSQL's own load generator (<https://www.postgresql.org/docs/current/pgbench.html>).

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// The script that its clients repeat.
#[derive(Debug, Clone)]
pub(crate) struct Pgbench {
    /// `postgres://…`
    pub(crate) url: String,
    /// The text of its script.
    pub(crate) script: String,
    /// The value of `:customers` in the script.
    pub(crate) customers: usize,
}

/// The results that it reports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    pub(crate) transactions: usize,
    pub(crate) per_second: f64,
}

impl Pgbench {
    /// Runs this many clients at full speed.
    pub(crate) async fn run(&self, clients: u32, seconds: u32) -> anyhow::Result<Report> {
        let mut pgbench = Command::new(program()?)
            .args(["-n", "-M", "prepared", "-j", &clients.min(2).to_string()])
            .args(["-D", &format!("customers={}", self.customers)])
            .args(["-c", &clients.to_string(), "-T", &seconds.to_string(), "-f", "-"])
            .arg(&self.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdin = pgbench.stdin.take().context("pgbench has no standard input")?;
        stdin.write_all(self.script.as_bytes()).await?;
        drop(stdin);
        let output = pgbench.wait_with_output().await?;
        let (said, complaint) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "pgbench failed: {}", complaint.trim());
        parse(&said).with_context(|| format!("pgbench is not understood: {said}"))
    }
}

fn program() -> anyhow::Result<PathBuf> {
    let beside_psql = stack::psql()?.with_file_name("pgbench");
    ensure!(
        beside_psql.is_file(),
        "pgbench is not installed; it comes with PostgreSQL's contributed programs"
    );
    Ok(beside_psql)
}

fn parse(said: &str) -> Option<Report> {
    let after = |label: &str| {
        let rest = said.lines().find_map(|line| line.trim().strip_prefix(label));
        rest.map(|rest| rest.trim().to_owned())
    };
    let processed = after("number of transactions actually processed:")?;
    // "tps = 1234.5 (without initial connection time)"; before PostgreSQL 14 there were two such
    // lines.
    let rate = after("tps = ")?;
    Some(Report {
        transactions: processed.split('/').next()?.trim().parse().ok()?,
        per_second: rate.split_whitespace().next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_report_is_read() {
        let said = "transaction type: x\nnumber of transactions actually processed: 1234\n\
                    number of failed transactions: 0 (0.000%)\nlatency average = 1.0 ms\n\
                    tps = 123.45 (without initial connection time)\n";
        let report = parse(said).expect("a report");
        assert_eq!(report.transactions, 1234);
        assert!((report.per_second - 123.45).abs() < 1e-9);
        assert!(parse("pgbench: error").is_none());
    }
}
