//! PostgreSQL's own load generator (<https://www.postgresql.org/docs/current/pgbench.html>).

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

/// What it reports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    pub(super) transactions: usize,
    pub(super) per_second: f64,
}

/// Lets so many clients add events as fast as they can.
pub(super) async fn run(url: &str, clients: u32, seconds: u32) -> anyhow::Result<Report> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/add_random_event.sql");
    let output = Command::new(program()?)
        .args(["-n", "-M", "prepared", "-j", &clients.min(2).to_string()])
        .args(["-c", &clients.to_string(), "-T", &seconds.to_string(), "-f"])
        .arg(script)
        .arg(url)
        .kill_on_drop(true)
        .output()
        .await?;
    let (said, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "pgbench failed: {}", complaint.trim());
    parse(&said).with_context(|| format!("pgbench is not understood: {said}"))
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
    // "tps = 1234.5 (without initial connection time)"; before PostgreSQL 14 there were two of these.
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
