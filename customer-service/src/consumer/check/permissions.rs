//! Whether RabbitMQ's user has the permissions that a consumer needs. The check sends requests that RabbitMQ refuses for their arguments, and publishes in a
//! transaction that it rolls back, so that nothing changes. It does so over a connection of its own, since RabbitMQ stops reading from publishing connections
//! while it is short of memory or disk.

use amq_protocol::protocol::BasicProperties;
use amqp::{Failure, Goodbye, Message, content_header};

use super::finding::{Check, Finding};
use crate::consumer::broker::{Broker, in_time};
use crate::consumer::topology::{
    ACCESS_REFUSED, DEAD_LETTER_EXCHANGE, QUEUE, RETRY_EXCHANGE, RETRY_QUEUE,
};

pub(super) const PERMISSIONS: &str = "permissions";

/// The exchanges and queues of the consumer that do not exist.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Exchanges, with their types.
    pub(super) exchanges: Vec<(&'static str, &'static str)>,
    pub(super) queues: Vec<&'static str>,
}

/// Checks the permissions to read the work queue, to write to the retry and the dead-letter exchange, and, if the consumer `declares` its objects, to configure
/// those that are `missing`.
pub(super) async fn check_permissions(broker: &Broker, missing: &Missing, declares: bool) -> Check {
    let mut asking = Asking {
        broker: broker.sibling("customer-service consumer: check of permissions"),
        findings: Vec::new(),
    };
    let asked = asking.ask_for_all(missing, declares).await;
    asking.broker.close().await;
    match asked {
        Ok(()) => {
            Check::of(PERMISSIONS, asking.findings, "the broker's user may do what a consumer does")
        }
        Err(reason) => Check::failed(PERMISSIONS, reason),
    }
}

struct Asking {
    broker: Broker,
    findings: Vec<Finding>,
}

impl Asking {
    async fn ask_for_all(&mut self, missing: &Missing, declares: bool) -> Result<(), String> {
        if declares {
            for (exchange, kind) in &missing.exchanges {
                let (channel, _) = self.broker.channel().await?;
                let asked =
                    in_time("answer", refusal(channel.declare_impossible_exchange(exchange, kind)));
                self.tell("configure", exchange, asked.await?);
            }
            for queue in &missing.queues {
                let (channel, _) = self.broker.channel().await?;
                let asked = in_time("answer", refusal(channel.declare_impossible_queue(queue)));
                self.tell("configure", queue, asked.await?);
            }
        }
        let (channel, _) = self.broker.channel().await?;
        let asked = in_time("answer", refusal(channel.consume_impossibly(QUEUE))).await?;
        self.tell("read", QUEUE, asked);
        self.ask_to_write(RETRY_EXCHANGE, RETRY_EXCHANGE).await?;
        self.ask_to_write(DEAD_LETTER_EXCHANGE, DEAD_LETTER_EXCHANGE).await?;
        if declares && missing.queues.contains(&RETRY_QUEUE) {
            // A queue is declared by who may write to the exchange to which it dead-letters.
            self.ask_to_write("", "amq.default").await?;
        }
        Ok(())
    }

    /// Publishes a message and takes it back before anybody gets it.
    async fn ask_to_write(&mut self, exchange: &str, called: &str) -> Result<(), String> {
        let (channel, _) = self.broker.channel().await?;
        let message = Message {
            message_id: String::new(),
            routing_key: QUEUE.into(),
            content_header: content_header(0, &BasicProperties::default()),
            body: Vec::new().into(),
        };
        match in_time("answer", refusal(channel.try_publish(&exchange.into(), &message))).await {
            Ok(refused) => self.tell("write to", called, refused),
            Err(reason) => {
                self.broker.forget();
                self.findings.push(Finding::warn(
                    format!("the broker does not tell whether its user may write to {called}: {reason}"),
                    "rabbitmq-diagnostics alarms: free memory or disk; messages are moved, and tried again, after that",
                ));
            }
        }
        Ok(())
    }

    fn tell(&mut self, what: &str, object: &str, refused: Option<String>) {
        if let Some(said) = refused {
            self.findings.push(Finding::fail(
                format!("the broker's user may not {what} {object}: {said}"),
                format!(
                    "grant it that permission: rabbitmqctl set_permissions, which replaces all that rabbitmqctl list_user_permissions shows ({object} has to match)"
                ),
            ));
        }
    }
}

/// RabbitMQ's words if it refused the request for lack of a permission; none if it refused the request for anything else, or did not refuse it.
async fn refusal(
    asked: impl Future<Output = Result<(), Failure>>,
) -> Result<Option<String>, Failure> {
    match asked.await {
        Ok(()) => Ok(None),
        Err(Failure::Refused(Goodbye { code, said })) => {
            Ok((code == ACCESS_REFUSED).then_some(said))
        }
        Err(failure) => Err(failure),
    }
}
