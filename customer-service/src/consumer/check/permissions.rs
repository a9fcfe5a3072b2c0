//! Checks the permissions of the broker's user. It sends requests that RabbitMQ refuses for their
//! arguments, and publishes in a transaction that it rolls back, so that nothing changes. It uses a
//! connection of its own, since RabbitMQ stops reading from publishing connections while it is
//! short of memory or disk.

use amq_protocol::protocol::BasicProperties;
use amqp::{CloseReason, Failure, Message, content_header};

use super::report::{CheckResult, Finding};
use crate::consumer::broker::{ACCESS_REFUSED, Broker, with_timeout};
use crate::consumer::topology::{DEAD_LETTER_EXCHANGE, RETRY_EXCHANGE, RETRY_QUEUE, WORK_QUEUE};

pub(super) const PERMISSIONS: &str = "permissions";

/// The exchanges and queues of the consumer that do not exist.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Exchanges, with their types.
    pub(super) exchanges: Vec<(&'static str, &'static str)>,
    pub(super) queues: Vec<&'static str>,
}

/// Checks the permissions to read the work queue, to write to the retry and the dead-letter
/// exchange, and, if the consumer `declares` its objects, to configure the `missing` ones.
pub(super) async fn check_permissions(
    broker: &Broker,
    missing: &Missing,
    declares: bool,
) -> CheckResult {
    let mut probe = PermissionProbe {
        broker: broker.separate_connection("customer-service consumer: check of permissions"),
        findings: Vec::new(),
    };
    let asked = probe.run(missing, declares).await;
    probe.broker.close().await;
    match asked {
        Ok(()) => CheckResult::new(
            PERMISSIONS,
            probe.findings,
            "the broker's user has the permissions of a consumer",
        ),
        Err(reason) => CheckResult::failed(PERMISSIONS, reason),
    }
}

struct PermissionProbe {
    broker: Broker,
    findings: Vec<Finding>,
}

impl PermissionProbe {
    async fn run(&mut self, missing: &Missing, declares: bool) -> Result<(), String> {
        if declares {
            for (exchange, kind) in &missing.exchanges {
                let (channel, _) = self.broker.connect().await?;
                let asked = with_timeout(
                    "answer",
                    refusal(channel.declare_impossible_exchange(exchange, kind)),
                );
                self.record("configure", exchange, asked.await?);
            }
            for queue in &missing.queues {
                let (channel, _) = self.broker.connect().await?;
                let asked =
                    with_timeout("answer", refusal(channel.declare_impossible_queue(queue)));
                self.record("configure", queue, asked.await?);
            }
        }
        let (channel, _) = self.broker.connect().await?;
        let asked = with_timeout("answer", refusal(channel.consume_impossibly(WORK_QUEUE))).await?;
        self.record("read", WORK_QUEUE, asked);
        self.probe_write(RETRY_EXCHANGE, RETRY_EXCHANGE).await?;
        self.probe_write(DEAD_LETTER_EXCHANGE, DEAD_LETTER_EXCHANGE).await?;
        if declares && missing.queues.contains(&RETRY_QUEUE) {
            // Declaring a queue needs write permission to its dead-letter exchange.
            self.probe_write("", "amq.default").await?;
        }
        Ok(())
    }

    /// Publishes a message in a transaction that is rolled back.
    async fn probe_write(&mut self, exchange: &str, called: &str) -> Result<(), String> {
        let (channel, _) = self.broker.connect().await?;
        let message = Message {
            message_id: String::new(),
            exchange: None,
            routing_key: WORK_QUEUE.into(),
            content_header: content_header(0, &BasicProperties::default()),
            body: Vec::new().into(),
        };
        match with_timeout("answer", refusal(channel.try_publish(&exchange.into(), &message))).await
        {
            Ok(refused) => self.record("write to", called, refused),
            Err(reason) => {
                self.broker.drop_connection();
                self.findings.push(Finding::warn(
                    format!("the broker does not tell whether its user may write to {called}: {reason}"),
                    "rabbitmq-diagnostics alarms: free memory or disk; messages are moved, and tried again, after that",
                ));
            }
        }
        Ok(())
    }

    fn record(&mut self, what: &str, object: &str, refused: Option<String>) {
        if let Some(reason) = refused {
            self.findings.push(Finding::fail(
                format!("the broker's user may not {what} {object}: {reason}"),
                format!(
                    "grant it that permission: rabbitmqctl set_permissions, which replaces all that rabbitmqctl list_user_permissions shows ({object} has to match)"
                ),
            ));
        }
    }
}

/// Returns RabbitMQ's text if it refused the request for lack of a permission, or `None` otherwise.
async fn refusal(
    asked: impl Future<Output = Result<(), Failure>>,
) -> Result<Option<String>, Failure> {
    match asked.await {
        Ok(()) => Ok(None),
        Err(Failure::Refused(CloseReason { code, text })) => {
            Ok((code == ACCESS_REFUSED).then_some(text))
        }
        Err(failure) => Err(failure),
    }
}
