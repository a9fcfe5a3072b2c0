//! Answers the broker: moves messages elsewhere, acknowledges those that are done, keeps those that can't be moved for a while.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use service_kit::amqp::Channel;

use super::broker::in_time;
use super::config::IntakeArgs;
use super::divert::{Fate, Move};
use super::mover::Mover;
use super::topology::DEAD_LETTER_EXCHANGE;

/// How long a message that no queue takes is kept before it returns to its own. RabbitMQ ends a consumer that keeps one for 30 minutes
/// (<https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>).
const KEPT_FOR: Duration = Duration::from_mins(1);

/// The other end of an [`Intake`](super::intake::Intake).
pub(super) struct Acknowledger {
    channel: Arc<Channel>,
    mover: Mover,
    args: IntakeArgs,
    /// Tags of the messages that could not be moved, the oldest first.
    kept: Vec<(Instant, u64)>,
    /// By exchange, why messages were not taken the last time.
    refusals: BTreeMap<&'static str, String>,
}

impl Acknowledger {
    /// For what was delivered on `channel`.
    pub(super) const fn new(channel: Arc<Channel>, mover: Mover, args: IntakeArgs) -> Self {
        Self { channel, mover, args, kept: Vec::new(), refusals: BTreeMap::new() }
    }

    /// Moves messages of a batch elsewhere; each is told its fate.
    ///
    /// # Errors
    /// With the reason when the fate of some is unknown.
    pub(super) async fn divert(&mut self, moves: &mut [Move<'_>]) -> Result<(), String> {
        let diverted = self.mover.divert(moves, &self.args).await;
        for one in moves.iter() {
            if let Some(why) = &one.put_off {
                self.refusals.insert(DEAD_LETTER_EXCHANGE, why.clone());
            }
            match &one.fate {
                Fate::Moved => drop(self.refusals.remove(one.exchange())),
                Fate::Refused(why) => drop(self.refusals.insert(one.exchange(), why.clone())),
                Fate::Unknown | Fate::Unroutable(_) => (),
            }
        }
        diverted
    }

    /// Why messages can't be moved to where they belong, for people.
    pub(super) fn trouble(&self) -> Option<String> {
        let refusals: Vec<&str> = self.refusals.values().map(String::as_str).collect();
        (!refusals.is_empty()).then(|| refusals.join("; "))
    }

    /// Acknowledges the messages with these tags, in their order, but for those of `moves` that were not moved. Each of the others must have
    /// had its effect or be stored elsewhere.
    ///
    /// # Errors
    /// With the reason when the channel is gone (the messages will be delivered again), when a queue is missing, or when more are kept than half
    /// of the prefetch.
    pub(super) async fn acknowledge(
        &mut self,
        tags: impl Iterator<Item = u64>,
        moves: &[Move<'_>],
    ) -> Result<(), String> {
        let unmoved = moves.iter().filter(|one| one.fate != Fate::Moved);
        let unmoved: HashSet<u64> = unmoved.map(|one| one.delivery.envelope.tag).collect();
        let done: Vec<u64> = tags.filter(|tag| !unmoved.contains(tag)).collect();
        let is_whole = unmoved.is_empty() && self.kept.is_empty();
        let now = Instant::now();
        self.kept.extend(unmoved.into_iter().map(|tag| (now, tag)));
        let acknowledging = async {
            match done.last() {
                Some(last) if is_whole => self.channel.acknowledge_up_to(*last).await,
                _ => self.channel.acknowledge(&done).await,
            }
        };
        in_time("take an answer", acknowledging).await?;
        self.return_kept().await?;
        let unroutable = moves.iter().find_map(|one| match &one.fate {
            Fate::Unroutable(why) => Some(why.clone()),
            _ => None,
        });
        if let Some(why) = unroutable {
            return Err(why);
        }
        if self.kept.len() > usize::from(self.args.consumer_prefetch) / 2 {
            let why = self.trouble().unwrap_or_default();
            return Err(format!("{} messages have nowhere to go: {why}", self.kept.len()));
        }
        Ok(())
    }

    /// Returns the messages to their queue that were kept for long enough: they are tried again.
    ///
    /// # Errors
    /// With the reason when the channel is gone.
    pub(super) async fn return_kept(&mut self) -> Result<(), String> {
        let young = self.kept.partition_point(|(since, _)| since.elapsed() >= KEPT_FOR);
        let tags: Vec<u64> = self.kept.drain(..young).map(|(_, tag)| tag).collect();
        in_time("take an answer", self.channel.return_to_queue(&tags)).await
    }

    /// Closes the channel: whatever is not acknowledged returns to the queue at once.
    pub(super) async fn close(self) {
        let closing = in_time("close a channel", self.channel.close());
        let ((), closed) = tokio::join!(self.mover.close(), closing);
        if let Err(reason) = closed {
            tracing::debug!(reason, "the channel was not closed in an orderly way");
        }
    }
}
