//! Publishes windows of events, over a new connection where one is lost.

use std::time::Duration;

use amqp::BrokerUrl;
use serde::Serialize;
use service_kit::backoff::Backoff;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::broker::topology::Topology;
use crate::broker::{Broker, Publisher};
use crate::commands::outcome::Unavailable;
use crate::commands::progress::Progress;
use crate::config::RelayArgs;
use crate::publish::event::Event;
use crate::publish::isolate::isolate_poison;
use crate::publish::message::MessageBuilder;
use crate::publish::verdict::Verdict;
use crate::publish::window::{self, Deadlines, WindowEnd};

/// How often to send messages whose outcome is unknown.
const ATTEMPTS: u32 = 8;

/// How long to wait for the last window's confirms after a signal to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// An event that could not be published again.
#[derive(Debug, Serialize)]
pub(super) struct FailedEvent {
    pub(super) event_id: Uuid,
    pub(super) reason: String,
}

/// Publishes one window at a time.
#[derive(Debug)]
pub(super) struct ReplayPublisher {
    url: BrokerUrl,
    topology: Topology,
    form: MessageBuilder,
    patience: Deadlines,
    connection: Option<(Broker, Publisher)>,
}

impl ReplayPublisher {
    pub(super) async fn connect(
        url: &BrokerUrl,
        relay: &RelayArgs,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut replay_publisher = Self {
            url: url.clone(),
            topology: Topology::new(relay),
            form: MessageBuilder::replaying(relay),
            patience: Deadlines { confirm: relay.relay_confirm_timeout, stop, drain: DRAIN },
            connection: None,
        };
        let connected = replay_publisher.open().await;
        connected.map_err(|error| Unavailable(format!("the broker can't be used: {error:#}")))?;
        Ok(replay_publisher)
    }

    /// Returns true once the process has been told to stop.
    pub(super) fn is_stopping(&self) -> bool {
        self.patience.stop.is_cancelled()
    }

    /// Publishes `events` and returns those that failed. Messages that are unconfirmed when the
    /// connection is lost are sent again over the next one.
    pub(super) async fn publish(
        &mut self,
        events: &[Event],
        progress: &Progress,
    ) -> anyhow::Result<Vec<FailedEvent>> {
        let mut failed = Vec::new();
        let mut rest: Vec<&Event> = events.iter().collect();
        let mut backoff = Backoff::reconnect();
        let mut lost = String::new();
        for _ in 0..ATTEMPTS {
            match self.try_once(&mut rest, &mut failed).await {
                Ok(()) if rest.is_empty() => return Ok(failed),
                Ok(()) => "not every message was confirmed".clone_into(&mut lost),
                Err(reason) => lost = reason,
            }
            if self.is_stopping() {
                break;
            }
            progress.set_waiting(&lost);
            sleep(backoff.next_delay()).await;
        }
        Err(Unavailable(format!("the broker is lost: {lost}")).into())
    }

    /// Sends the events of `rest` and keeps those in it whose outcome is unknown.
    async fn try_once(
        &mut self,
        rest: &mut Vec<&Event>,
        failed: &mut Vec<FailedEvent>,
    ) -> Result<(), String> {
        self.open().await.map_err(|error| format!("{error:#}"))?;
        let Some((_, publisher)) = &mut self.connection else {
            return Err("it is not connected".to_owned());
        };
        let (mut sent, mut messages) = (Vec::new(), Vec::new());
        for event in rest.drain(..) {
            match self.form.build(event, publisher.frame_max()) {
                Ok(message) => {
                    sent.push(event);
                    messages.push(message);
                }
                Err(reason) => failed.push(FailedEvent { event_id: event.event_id, reason }),
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
                    failed.push(FailedEvent { event_id: event.event_id, reason });
                }
                Verdict::Unknown => rest.push(event),
            }
        }
        match lost {
            None => Ok(()),
            Some(loss) => {
                self.connection = None;
                Err(loss.reason().to_owned())
            }
        }
    }

    async fn open(&mut self) -> anyhow::Result<()> {
        if self.connection.as_ref().is_some_and(|(_, publisher)| publisher.is_open()) {
            return Ok(());
        }
        self.connection = None;
        let mut broker = Broker::connect(&self.url, self.topology.clone(), 1).await?;
        self.connection = broker.take_channel().map(|publisher| (broker, publisher));
        Ok(())
    }

    /// Closes the connection.
    pub(super) async fn close(self) {
        if let Some((broker, _)) = self.connection {
            broker.close().await;
        }
    }
}
