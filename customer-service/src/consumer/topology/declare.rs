//! Declares the exchanges, queues and bindings. Those that exist with other settings are used as
//! they are.

use amq_protocol::types::FieldTable;
use amqp::{Channel, CloseReason, Failure};

use super::objects::{
    BINDINGS, Binding, DEAD_LETTER_QUEUE, DELETE_REMEDY, EXCHANGES, REBUILD_REMEDY, RETRY_QUEUE,
    Topology, WORK_QUEUE, arguments, delivery_limit, retry_arguments, work_arguments,
};
use crate::consumer::broker::{ACCESS_REFUSED, Broker, NOT_FOUND, PRECONDITION_FAILED};

/// Declares objects on a channel, which it replaces when the broker closes it.
struct Declarator<'a> {
    broker: &'a Broker,
    channel: Channel,
    topology: Topology,
}

/// Declares everything. Returns an open channel, as the broker closes one over each declaration
/// that it refuses, and what it found.
///
/// # Errors
/// Returns which exchange, queue or binding can't be declared, and the broker's text.
pub(in crate::consumer) async fn declare(
    broker: &Broker,
    channel: Channel,
) -> Result<(Channel, Topology), String> {
    let mut declarator = Declarator { broker, channel, topology: Topology::default() };
    for (exchange, kind) in EXCHANGES {
        declarator.declare_exchange(exchange, kind).await?;
    }
    if let Some(differs) = declarator.declare_queue(WORK_QUEUE, work_arguments()).await? {
        // Earlier releases declared it with the delivery limit alone.
        let risk = if declarator
            .declare_queue(WORK_QUEUE, arguments([delivery_limit()]))
            .await?
            .is_none()
        {
            "a policy that takes messages out of it loses them"
        } else {
            "a policy that takes messages out of it loses them, and RabbitMQ 4 may drop those that come back to it 20 times"
        };
        declarator.add_deviation(&differs, risk, REBUILD_REMEDY);
    }
    if let Some(differs) = declarator.declare_queue(RETRY_QUEUE, retry_arguments()).await? {
        declarator.topology.retry_queue_mismatch =
            Some(format!("nothing is sent to {RETRY_QUEUE}, as it might not come back: {differs}"));
        declarator.add_deviation(
            &differs,
            "messages might not come back from it, and none is sent there",
            DELETE_REMEDY,
        );
    }
    if let Some(differs) = declarator.declare_queue(DEAD_LETTER_QUEUE, arguments([])).await? {
        declarator.add_deviation(&differs, "it may not keep what is sent there", DELETE_REMEDY);
    }

    for Binding { queue, exchange, key } in BINDINGS {
        declarator.bind_queue(queue, exchange, key).await?;
    }
    Ok((declarator.channel, declarator.topology))
}

impl Declarator<'_> {
    async fn declare_exchange(&mut self, name: &str, kind: &str) -> Result<(), String> {
        let declared = self.channel.declare_exchange(name.into(), kind, false).await;
        let exists =
            async |channel: &Channel| channel.declare_exchange(name.into(), kind, true).await;
        if let Some(differs) =
            self.accept_existing(&format!("exchange {name}"), declared, exists).await?
        {
            self.topology.deviations.push(format!("{differs}; it is used as it is"));
        }
        Ok(())
    }

    fn add_deviation(&mut self, differs: &str, risk: &str, remedy: &str) {
        self.topology.deviations.push(format!("{differs}; as it is, {risk}: {remedy}"));
    }

    /// Declares a queue. Returns the difference if it exists with other arguments.
    async fn declare_queue(
        &mut self,
        name: &str,
        arguments: FieldTable,
    ) -> Result<Option<String>, String> {
        let declared = self.channel.declare_queue(name, arguments).await;
        let exists = async |channel: &Channel| channel.depth(name).await.map(drop);
        self.accept_existing(&format!("queue {name}"), declared, exists).await
    }

    /// Binds a queue. AMQP can't verify a binding: one that the user may not declare is assumed to
    /// exist. If it does not, the broker returns what is published.
    async fn bind_queue(&mut self, queue: &str, exchange: &str, key: &str) -> Result<(), String> {
        let binding = format!("binding of {queue} to {exchange} with {key}");
        match self.channel.bind_queue(queue, exchange, key).await {
            Err(Failure::Refused(CloseReason { code: ACCESS_REFUSED, text })) => {
                self.topology
                    .deviations
                    .push(format!("{binding} can't be declared, and is assumed to exist: {text}"));
                self.channel = self.broker.open_channel().await?;
                Ok(())
            }
            bound => bound.map_err(|failure| explain(&binding, &failure)),
        }
    }

    /// Accepts an object that exists although its declaration was refused. Returns the difference,
    /// if the broker tells it.
    async fn accept_existing(
        &mut self,
        object: &str,
        declared: Result<(), Failure>,
        exists: impl AsyncFnOnce(&Channel) -> Result<(), Failure>,
    ) -> Result<Option<String>, String> {
        let Err(failure) = declared else {
            return Ok(None);
        };
        let reason = explain(object, &failure);
        let Failure::Refused(CloseReason {
            code: code @ (ACCESS_REFUSED | PRECONDITION_FAILED),
            ..
        }) = failure
        else {
            return Err(reason);
        };
        self.channel = self.broker.open_channel().await?;
        match exists(&self.channel).await {
            Ok(()) => (),
            Err(Failure::Refused(CloseReason { code: ACCESS_REFUSED, .. })) => {
                // The user may not ask for it either. Whether it exists shows when it is used.
                self.channel = self.broker.open_channel().await?;
            }
            Err(Failure::Refused(CloseReason { code: NOT_FOUND, .. })) => return Err(reason),
            Err(failure) => return Err(failure.to_string()),
        }
        if code == PRECONDITION_FAILED {
            return Ok(Some(reason));
        }
        self.topology.deviations.push(reason);
        Ok(None)
    }
}

/// The reason of a failed declaration. The broker names the difference: "inequivalent arg
/// 'x-queue-type' for queue '…' in vhost '…': received … but current is …".
fn explain(object: &str, failure: &Failure) -> String {
    match failure {
        Failure::Refused(CloseReason { code: PRECONDITION_FAILED, text })
            if text.contains("inequivalent arg") =>
        {
            let differs = text.strip_prefix("PRECONDITION_FAILED - ").unwrap_or(text);
            format!("{object} already exists with other settings: {differs}")
        }
        _ => format!("{object} can't be declared: {failure}"),
    }
}
