//! One batch of messages: read, apply, move what can't be applied, acknowledge.

use std::collections::HashMap;

use lapin::message::Delivery;
use lapin::types::ShortString;
use time::OffsetDateTime;
use uuid::Uuid;

use super::apply::apply;
use super::divert::{Destination, Hope, Move};
use super::event::{OrderCreated, Reading, read};
use super::intake::Intake;
use super::ledger::{Ledger, Outcome};
use super::metrics;

/// Why a batch was not finished: its messages are to be returned to the queue.
#[derive(Debug)]
pub(super) enum Interruption {
    /// The database can't be used.
    Database(String),
    /// The broker, or the way to it, can't be used.
    Broker(String),
}

/// Does all that is to be done with `batch`.
///
/// # Errors
/// When it was not finished. Nothing of it is acknowledged then.
pub(super) async fn finish(
    batch: &[Delivery],
    ledger: &Ledger,
    intake: &mut Intake,
    max_retries: u32,
) -> Result<(), Interruption> {
    let readings: Vec<Reading> = batch.iter().map(read_delivery).collect();
    let orders = readings.iter().filter_map(|reading| match reading {
        Reading::Order(order) => Some(*order),
        _ => None,
    });
    let outcomes = apply(ledger, orders).await.map_err(Interruption::Database)?;

    let mut tally = Tally::new(outcomes);
    let mut moves = Vec::new();
    for (delivery, reading) in batch.iter().zip(readings) {
        if let Some((reason, hope)) = tally.verdict(reading) {
            moves.push(Move::new(delivery, reason, hope, max_retries));
        }
    }
    intake.divert(&moves).await.map_err(Interruption::Broker)?;
    intake.acknowledge(batch).await.map_err(Interruption::Broker)?;

    tally.report();
    metrics::batch(batch.iter().filter(|one| one.redelivered).count());
    moves.iter().for_each(report);
    Ok(())
}

fn read_delivery(delivery: &Delivery) -> Reading {
    let properties = &delivery.properties;
    let text = |value: &'_ Option<ShortString>| value.as_ref().map(ToString::to_string);
    read(
        &delivery.data,
        text(properties.content_type()).as_deref(),
        text(properties.kind()).as_deref(),
    )
}

/// What became of the events of a batch.
struct Tally {
    outcomes: HashMap<Uuid, Outcome>,
    counted: Vec<OrderCreated>,
    duplicates: usize,
    ignored: usize,
}

impl Tally {
    fn new(outcomes: HashMap<Uuid, Outcome>) -> Self {
        Self { outcomes, counted: Vec::new(), duplicates: 0, ignored: 0 }
    }

    /// Why the message is to be moved, and with what hope; nothing when it is done. Copies of one event in a batch share its
    /// outcome, except that only the first of them was counted.
    fn verdict(&mut self, reading: Reading) -> Option<(String, Hope)> {
        let order = match reading {
            Reading::Ignored => {
                self.ignored += 1;
                return None;
            }
            Reading::Malformed(reason) => return Some((reason, Hope::Never)),
            Reading::Order(order) => order,
        };
        match self.outcomes.get_mut(&order.event_id) {
            Some(outcome @ Outcome::Counted) => {
                self.counted.push(order);
                *outcome = Outcome::Duplicate;
                None
            }
            Some(Outcome::Duplicate) => {
                self.duplicates += 1;
                None
            }
            Some(Outcome::Refused(reason)) => {
                let reason = format!("the database refuses the event: {reason}");
                Some((reason, Hope::Later))
            }
            // Each event that was applied has an outcome; one without is to be tried again rather than lost.
            Some(Outcome::CustomerUnknown) | None => {
                let reason = format!("customer {} is unknown", order.customer_id);
                Some((reason, Hope::Later))
            }
        }
    }

    fn report(&self) {
        metrics::events("counted", self.counted.len());
        metrics::events("duplicate", self.duplicates);
        metrics::events("ignored", self.ignored);
        let now = OffsetDateTime::now_utc();
        for occurred_at in self.counted.iter().filter_map(|order| order.occurred_at) {
            metrics::lag(now - occurred_at);
        }
    }
}

fn report(one: &Move<'_>) {
    let event_id = one.delivery.properties.message_id().as_ref().map_or("", ShortString::as_str);
    match one.destination {
        Destination::Retry { count } => {
            metrics::events("retried", 1);
            tracing::debug!(
                event.id = event_id,
                retry = count,
                reason = one.reason,
                "sent an event to be tried again"
            );
        }
        Destination::DeadLetter { tries } => {
            metrics::events("dead_lettered", 1);
            tracing::warn!(
                event.id = event_id,
                tries,
                reason = one.reason,
                "sent a message to the dead-letter queue"
            );
        }
    }
}
