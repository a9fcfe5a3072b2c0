//! Measures the collector of dead letters against a consumer that stores nothing, and against COPY.

use super::Suite;
use super::row::{Goal, Row};
use crate::collect::{DeadLetterQueue, Desk, collect};
use crate::consume::take;

/// Prefetch of the bare consumer, which acknowledges each quarter of it.
const PREFETCH: u16 = 2000;

/// The lowest rate at which a collector stores dead letters, in messages a second: the promise of
/// docs/desk.md.
const PROMISED: f64 = 5000.0;

pub(super) async fn measure(suite: &mut Suite<'_>) -> anyhow::Result<()> {
    let messages = suite.sizes.collect;
    let (desk, queue) =
        tokio::try_join!(Desk::new(suite.servers), DeadLetterQueue::new(suite.servers))?;
    let (mut ours, mut bare, mut copied) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..suite.sizes.rounds {
        let say =
            |what: &str| suite.progress.say(&format!("collector: round {}: {what}", round + 1));
        say("publishing");
        queue.publish(messages, None).await?;
        for ours_is_next in if round % 2 == 0 { [false, true] } else { [true, false] } {
            if ours_is_next {
                say("collector");
                desk.clear().await?;
                let program = &suite.programs.outbox_relay;
                let run = collect(suite.servers, program, &[], &desk, &queue, messages).await?;
                ours.push(run.per_second);
                say("COPY");
                copied.push(desk.copy().await?);
            } else {
                say("bare consumer");
                bare.push(take(&queue.url, PREFETCH, messages).await?.per_second);
            }
        }
    }
    let (part, what) = ("desk", "dead letters collected");
    let rates = ours.iter().copied().collect();
    suite.rows.push(Row::alone(part, what, rates, "/s").with_goal(Goal::AtLeast(PROMISED)));
    for limit in [("bare consumer", &bare[..]), ("COPY of the same rows, at once", &copied[..])] {
        suite.rows.push(Row::beside(part, what, &ours, "/s", limit));
    }
    Ok(())
}
