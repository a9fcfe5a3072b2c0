//! The other limit: `pgbench` commits the consumer's transaction with one event each.

use super::customers::Customers;
use crate::pgbench::Pgbench;

/// Numbers of concurrent clients to try; one of them suits the machine best.
const CLIENTS: [u32; 4] = [1, 4, 16, 64];

/// One event per transaction.
pub(crate) fn one_by_one(customers: &Customers) -> Pgbench {
    let script = include_str!("../../sql/count_one_event.sql").to_owned();
    Pgbench { url: customers.url.clone(), script, customers: customers.number }
}

/// Events per second with the best number of clients, each tried for `seconds`.
pub(super) async fn best(customers: &Customers, seconds: u32) -> anyhow::Result<Option<f64>> {
    if seconds == 0 {
        return Ok(None);
    }
    let mut best: f64 = 0.0;
    for clients in CLIENTS {
        eprintln!("pgbench with {clients} clients");
        best = best.max(one_by_one(customers).run(clients, seconds).await?.per_second);
    }
    Ok(Some(best))
}
