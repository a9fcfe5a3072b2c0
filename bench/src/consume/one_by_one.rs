//! The other limit: `pgbench` commits the consumer's transaction for one event at a time.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::customers::Customers;

/// Clients at once; one of these numbers suits the machine best.
const CLIENTS: [u32; 4] = [1, 4, 16, 64];

/// Events per second with the best number of clients, each tried for so many seconds.
pub(super) async fn best(customers: &Customers, seconds: u32) -> anyhow::Result<Option<f64>> {
    if seconds == 0 {
        return Ok(None);
    }
    let mut best: f64 = 0.0;
    for clients in CLIENTS {
        eprintln!("pgbench with {clients} clients");
        best = best.max(per_second(customers, clients, seconds).await?);
    }
    Ok(Some(best))
}

async fn per_second(customers: &Customers, clients: u32, seconds: u32) -> anyhow::Result<f64> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/count_one_event.sql");
    let output = Command::new(stack::psql()?.with_file_name("pgbench"))
        .args(["-n", "-M", "prepared", "-j", &clients.min(2).to_string()])
        .args(["-D", &format!("customers={}", customers.number)])
        .args(["-c", &clients.to_string(), "-T", &seconds.to_string(), "-f"])
        .arg(script)
        .arg(&customers.url)
        .kill_on_drop(true)
        .output()
        .await
        .context("pgbench comes with PostgreSQL's contributed programs")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pgbench failed: {}", complaint.trim());
    let said = String::from_utf8_lossy(&output.stdout);
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
    rate.and_then(|rate| rate.parse().ok())
        .with_context(|| format!("pgbench is not understood: {said}"))
}
