//! The way to the retry and dead-letter queues: a connection of its own. A broker that is short of memory or disk stops parsed
//! from whoever publishes; acknowledgements on the same connection would be stuck behind.

use service_kit::amqp::Channel;

use super::broker::{Broker, in_time};
use super::config::SubscriptionArgs;
use super::divert::{Fate, Move, Taken, publish};
use super::topology::{DEAD_LETTER_EXCHANGE, RETRY_EXCHANGE};

/// A channel with confirms, opened when there is something to move: most consumers never need it.
pub(super) struct Mover {
    broker: Broker,
    channel: Option<(Channel, usize)>,
    /// Why a message in the retry queue might not come back.
    untrusted_retry: Option<String>,
}

impl Mover {
    pub(super) const fn new(broker: Broker, untrusted_retry: Option<String>) -> Self {
        Self { broker, channel: None, untrusted_retry }
    }

    /// Moves messages; each is told its fate. What the dead-letter queue refuses goes to the retry queue. `may_declare`: a missing queue
    /// may be there soon, and is no refusal.
    ///
    /// # Errors
    /// With the reason when the fate of some is unknown.
    pub(super) async fn divert(
        &mut self,
        moves: &mut [Move<'_>],
        args: &SubscriptionArgs,
        may_declare: bool,
    ) -> Result<(), String> {
        let retried = self.publish(RETRY_EXCHANGE, moves, args).await;
        let dead = self.publish(DEAD_LETTER_EXCHANGE, moves, args).await;
        for one in moves.iter_mut() {
            one.decide(may_declare);
            one.put_off();
        }
        retried?;
        let put_off = self.publish(RETRY_EXCHANGE, moves, args).await;
        moves.iter_mut().for_each(|one| one.decide(may_declare));
        dead.and(put_off)
    }

    async fn publish(
        &mut self,
        exchange: &'static str,
        moves: &mut [Move<'_>],
        args: &SubscriptionArgs,
    ) -> Result<(), String> {
        if exchange == RETRY_EXCHANGE
            && let Some(why) = &self.untrusted_retry
        {
            for one in moves.iter_mut().filter(|one| one.goes_to(exchange)) {
                one.fate = Fate::Refused(why.clone());
            }
        }
        if self.publish_together(exchange, moves, args).await? == Taken::Closed {
            // The broker closes a channel over one message: the others are not to blame.
            for one in moves {
                self.publish_together(exchange, std::slice::from_mut(one), args).await?;
            }
        }
        Ok(())
    }

    async fn publish_together(
        &mut self,
        exchange: &'static str,
        moves: &mut [Move<'_>],
        args: &SubscriptionArgs,
    ) -> Result<Taken, String> {
        if !moves.iter().any(|one| one.goes_to(exchange)) {
            return Ok(Taken::Told);
        }
        let opened = match self.channel.take() {
            Some(open) if open.0.is_open() => Ok(open),
            _ => self.open().await,
        };
        let (channel, frame_max) = match opened {
            Ok(open) => open,
            Err(reason) => {
                for one in moves.iter_mut().filter(|one| one.goes_to(exchange)) {
                    one.fate = Fate::Refused(format!("no way to move messages: {reason}"));
                }
                return Ok(Taken::Told);
            }
        };
        let taken = publish(&channel, exchange, moves, args, frame_max).await?;
        // A queue that has refused what came over a channel may go on doing so when it is not full any more: seen with RabbitMQ 3.10, when the
        // policy that limits it is deleted.
        if !moves.iter().any(|one| matches!(one.fate, Fate::Refused(_))) {
            self.channel = Some((channel, frame_max));
        }
        Ok(taken)
    }

    async fn open(&mut self) -> Result<(Channel, usize), String> {
        let (channel, frame_max) = self.broker.channel().await?;
        in_time("answer", channel.confirm()).await?;
        Ok((channel, frame_max))
    }

    /// Closes the connection.
    pub(super) async fn close(mut self) {
        self.broker.close().await;
    }
}
