//! Publishes windows of events to a broker that may go away meanwhile.

use serde::Serialize;
use service_kit::backoff::Backoff;
use service_kit::broker::BrokerUrl;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::DRAIN;
use super::progress::Progress;
use crate::broker::topology::Topology;
use crate::broker::{Broker, Publisher};
use crate::config::RelayArgs;
use crate::publish::event::Event;
use crate::publish::isolate::isolate_poison;
use crate::publish::message::MessageBuilder;
use crate::publish::verdict::Verdict;
use crate::publish::window::{self, Deadlines, WindowEnd};

/// Times that a window is sent again of which nobody knows what became of it.
const TRIES: u32 = 8;

/// An event that could not be published again.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub(super) event_id: Uuid,
    pub(super) reason: String,
}

/// A connection that publishes one window at a time.
#[derive(Debug)]
pub(super) struct Sender {
    url: BrokerUrl,
    topology: Topology,
    form: MessageBuilder,
    patience: Deadlines,
    link: Option<(Broker, Publisher)>,
}

impl Sender {
    pub(super) async fn connect(
        url: &BrokerUrl,
        relay: &RelayArgs,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut sender = Self {
            url: url.clone(),
            topology: Topology::new(relay),
            form: MessageBuilder::replaying(relay),
            patience: Deadlines { confirm: relay.relay_confirm_timeout, stop, drain: DRAIN },
            link: None,
        };
        let connected = sender.open().await;
        connected.map_err(|error| anyhow::anyhow!("the broker can't be used: {error:#}"))?;
        Ok(sender)
    }

    pub(super) fn is_told_to_stop(&self) -> bool {
        self.patience.stop.is_cancelled()
    }

    /// Publishes `events`; returns those that failed. What is lost with a connection is sent again with the next one.
    pub(super) async fn send(
        &mut self,
        events: &[Event],
        progress: &Progress,
    ) -> anyhow::Result<Vec<Failure>> {
        let mut failed = Vec::new();
        let mut left: Vec<&Event> = events.iter().collect();
        let mut backoff = Backoff::reconnect();
        let mut lost = String::new();
        for _ in 0..TRIES {
            match self.try_once(&mut left, &mut failed).await {
                Ok(()) if left.is_empty() => return Ok(failed),
                Ok(()) => "not every message was confirmed".clone_into(&mut lost),
                Err(reason) => lost = reason,
            }
            if self.is_told_to_stop() {
                break;
            }
            progress.waits(&lost);
            sleep(backoff.next_delay()).await;
        }
        Err(anyhow::anyhow!("the broker is lost: {lost}"))
    }

    /// Sends what is `left`, and leaves in it what became of which nobody knows.
    async fn try_once(
        &mut self,
        left: &mut Vec<&Event>,
        failed: &mut Vec<Failure>,
    ) -> Result<(), String> {
        self.open().await.map_err(|error| format!("{error:#}"))?;
        let Some((_, publisher)) = &mut self.link else {
            return Err("it is not connected".to_owned());
        };
        let (mut sent, mut messages) = (Vec::new(), Vec::new());
        for event in left.drain(..) {
            match self.form.build(event, publisher.frame_max()) {
                Ok(message) => {
                    sent.push(event);
                    messages.push(message);
                }
                Err(reason) => failed.push(Failure { event_id: event.event_id, reason }),
            }
        }
        let (mut verdicts, end) = window::send(publisher, &messages, &self.patience).await;
        let lost = match end {
            WindowEnd::Complete => None,
            WindowEnd::Lost(loss) => Some(loss),
            WindowEnd::ChannelClosed(_) => {
                let go_on = || !self.patience.stop.is_cancelled();
                isolate_poison(publisher, &messages, &mut verdicts, &self.patience, go_on)
                    .await
                    .err()
            }
        };
        for (event, verdict) in sent.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Published => {}
                Verdict::Failed(_, reason) | Verdict::Unpublishable(reason) => {
                    failed.push(Failure { event_id: event.event_id, reason });
                }
                Verdict::Unknown => left.push(event),
            }
        }
        match lost {
            None => Ok(()),
            Some(loss) => {
                self.link = None;
                Err(loss.reason().to_owned())
            }
        }
    }

    async fn open(&mut self) -> anyhow::Result<()> {
        if self.link.as_ref().is_some_and(|(_, publisher)| publisher.is_open()) {
            return Ok(());
        }
        self.link = None;
        let mut broker = Broker::connect(&self.url, self.topology.clone(), 1).await?;
        self.link = broker.take_channel().map(|publisher| (broker, publisher));
        Ok(())
    }

    pub(super) async fn close(self) {
        if let Some((broker, _)) = self.link {
            broker.close().await;
        }
    }
}
