//! Measures the relay draining a backlog against bare publishers.

use super::Suite;
use super::row::{Goal, Row};
use crate::bare_publisher::{self, Handover, PublisherShape};
use crate::setup::{Draining, Events, Outbox, Queue, RelayProgram};

/// With the relay's own windows.
const SAME_WINDOWS: PublisherShape =
    PublisherShape { connections: 1, channels: 4, window: 500, handover: Handover::InTurn };

/// One message at a time takes long: a part of the messages is enough.
const PART_ONE_AT_A_TIME: usize = 20;

pub(super) async fn measure(suite: &mut Suite<'_>) -> anyhow::Result<()> {
    let events = suite.sizes.drain;
    let program = RelayProgram::at(suite.programs.outbox_relay.clone());
    let (outbox, queue) = tokio::try_join!(Outbox::new(suite.servers), Queue::new(suite.servers))?;
    let draining =
        Draining { servers: suite.servers, outbox: &outbox, queue: &queue, relay: &program };
    let one_channel = |window| PublisherShape { channels: 1, window, ..SAME_WINDOWS };
    let shapes = [
        (SAME_WINDOWS, events),
        (PublisherShape { handover: Handover::Together, ..SAME_WINDOWS }, events),
        (one_channel(1), events / PART_ONE_AT_A_TIME),
        (one_channel(100), events),
        (one_channel(1000), events),
    ];
    let (mut drained, mut published) = (Vec::new(), [const { Vec::<f64>::new() }; 5]);
    for round in 0..suite.sizes.rounds {
        let say = |what: &str| {
            let rounds = suite.sizes.rounds;
            suite.progress.say(&format!("relay: round {} of {rounds}: {what}", round + 1));
        };
        // Each runs first equally often, as the first may slow down the second.
        for relay_is_next in if round % 2 == 0 { [false, true] } else { [true, false] } {
            if relay_is_next {
                say(&format!("{events} events drained"));
                outbox.clear().await?;
                outbox.fill(Events::distinct(events)).await?;
                outbox.calm().await?;
                drained.push(draining.run(events, 0, 0).await?.per_second);
                continue;
            }
            for (&(shape, messages), rates) in shapes.iter().zip(&mut published) {
                say(&format!("bare publisher, {} × {}", shape.channels, shape.window));
                rates.push(
                    bare_publisher::publish(&queue.url, shape, messages, 0).await?.per_second,
                );
                queue.purge(messages).await?;
            }
        }
    }
    let [in_turn, together, one, hundred, thousand] = published;
    let (part, what) = ("relay", "events drained");
    suite.rows.extend([
        Row::beside(
            part,
            what,
            &drained,
            "/s",
            ("bare publisher, 4 \u{d7} 500, in turn", &in_turn),
        )
        .with_goal(Goal::AtLeast(0.9)),
        Row::beside(
            part,
            what,
            &drained,
            "/s",
            ("bare publisher, 4 \u{d7} 500, together", &together),
        ),
        Row::beside(part, what, &drained, "/s", ("bare publisher, 1 \u{d7} 1000", &thousand)),
        Row::beside(part, what, &drained, "/s", ("bare publisher, 1 \u{d7} 100", &hundred)),
        Row::beside(part, what, &drained, "/s", ("bare publisher, one at a time", &one)),
    ]);
    Ok(())
}
