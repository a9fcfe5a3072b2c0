//! Measures how much sooner a listener learns of an event than a poller finds it. Both watch the
//! same events at the same time. Latency is measured from the moment the INSERT is sent: a listener
//! may learn of the commit before its writer does.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;
use uuid::Uuid;

use super::listener::Listener;
use super::poller::Poller;
use crate::output::print_json;
use crate::setup::{Inserts, Outbox};
use crate::summary::{Summary, rounded};

pub(super) async fn measure(outbox: &Outbox, events: u32) -> anyhow::Result<()> {
    outbox.sql.batch_execute("ALTER TABLE outbox ENABLE TRIGGER outbox_tell").await?;
    // An event about every 10 ms keeps the poller at its shortest interval; after 400 ms and more
    // it is at its longest. The pauses vary, so that they do not synchronize with the poller's.
    for (pace, pause, summary) in [("busy", 7, 7), ("idle", 400, 200)] {
        let count = usize::try_from(events)?;
        eprintln!("latency of {events} events, {pace}");
        outbox.clear().await?;
        let (listener, poller) =
            (Listener::connect(outbox.url()).await?, Poller::start(outbox).await?);
        let inserts = Inserts::new(outbox).await?;
        let (mut sent, mut commits) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for number in 0..u64::from(events) {
            let pause = pause + (number * 37) % summary;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let event_id = Uuid::now_v7();
            let now = Instant::now();
            inserts.add(event_id).await?;
            commits.push(milliseconds(Instant::now(), now));
            sent.push((event_id, now));
        }
        // A single writer: notifications arrive in the order of its commits.
        let heard = listener.take(count).await?;
        let found = poller.until(count).await?;
        let listening: Summary =
            sent.iter().zip(heard).map(|((_, at), heard)| milliseconds(heard, *at)).collect();
        let polling = sent.iter().map(|(event_id, at)| {
            Ok(milliseconds(*found.get(event_id).context("an event was not found")?, *at))
        });
        let polling = polling.collect::<anyhow::Result<Summary>>()?;
        let percentiles = |summary: &Summary| {
            json!({
                "p50": rounded(summary.median()),
                "p99": rounded(summary.percentile(99)),
                "max": rounded(summary.max()),
            })
        };
        print_json(&json!({
            "measure": "notify: latency",
            "ratio": rounded(listening.median() / polling.median()),
            "gained_ms_p50": rounded(polling.median() - listening.median()),
            "pace": pace,
            "events": events,
            "insert_to_commit_ms": percentiles(&commits.into_iter().collect()),
            "insert_to_notification_ms": percentiles(&listening),
            "insert_to_poll_ms": percentiles(&polling),
        }));
    }
    Ok(())
}

fn milliseconds(seen: Instant, sent: Instant) -> f64 {
    seen.saturating_duration_since(sent).as_secs_f64() * 1000.0
}
