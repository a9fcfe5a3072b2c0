//! Measures what a notifying trigger costs the writers.

use anyhow::ensure;
use serde_json::json;

use super::listener::Listener;
use crate::output::print_json;
use crate::pgbench::Pgbench;
use crate::setup::Outbox;
use crate::summary::Summary;

pub(super) async fn measure(
    outbox: &Outbox,
    clients: u32,
    seconds: u32,
    rounds: u32,
) -> anyhow::Result<()> {
    let listener = Listener::connect(outbox.url()).await?;
    let script = include_str!("../../sql/add_random_event.sql").to_owned();
    let pgbench = Pgbench { url: outbox.url().to_owned(), script, customers: 0 };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for notify in if round % 2 == 0 { [false, true] } else { [true, false] } {
            let whether = if notify { "with" } else { "without" };
            eprintln!("{clients} clients, round {} of {rounds}: {whether} NOTIFY", round + 1);
            let switch = if notify { "ENABLE" } else { "DISABLE" };
            let switch = format!("ALTER TABLE outbox {switch} TRIGGER outbox_tell");
            outbox.clear().await?;
            outbox.sql.batch_execute(&switch).await?;
            outbox.calm().await?;
            let report = pgbench.run(clients, seconds).await?;
            let rows = outbox.count("SELECT count(*) FROM outbox").await?;
            ensure!(
                rows == report.transactions,
                "{rows} events were written instead of {}: this run has no result",
                report.transactions
            );
            listener.take(if notify { rows } else { 0 }).await?;
            if notify { &mut with } else { &mut without }.push(report.per_second);
        }
    }
    let ratios = with.iter().zip(&without).map(|(with, without)| with / without);
    print_json(&json!({
        "measure": "notify: cost",
        "ratio": ratios.collect::<Summary>().json(),
        "clients": clients,
        "seconds": seconds,
        "rounds": rounds,
        "transactions_per_second_without": without.iter().copied().collect::<Summary>().json(),
        "transactions_per_second_with": with.iter().copied().collect::<Summary>().json(),
    }));
    Ok(())
}
