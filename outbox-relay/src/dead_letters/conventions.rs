//! Where the libraries of consumers write why a message died.
//!
//! | of | reason | type of the error | tries | when | from which queue |
//! |---|---|---|---|---|---|
//! | this project's consumer | `x-reason` | | `x-tries`, or `x-retry-count` + 1 | `x-first-failed-at`, `x-last-failed-at` | |
//! | Spring AMQP | `x-exception-message`, or the first line of `x-exception-stacktrace` | | | | |
//! | MassTransit | `MT-Fault-Message` | `MT-Fault-ExceptionType` | `MT-Fault-RetryCount` + 1 | `MT-Fault-Timestamp` | `MT-Fault-InputAddress` |
//! | NServiceBus | `NServiceBus.ExceptionInfo.Message` | `NServiceBus.ExceptionInfo.ExceptionType` | | `NServiceBus.TimeOfFailure` | `NServiceBus.FailedQ` |
//! | RabbitMQ itself | the reason in `x-death` | | the counts in `x-death` | the times in `x-death` | the queue in `x-death` |
//!
//! `--reason-header` and `--tries-header` name others, which go first.

use amq_protocol::types::FieldTable;

use super::headers;

/// Headers with the reason of the failure; the first one that is present counts.
const REASONS: [&str; 5] = [
    "x-reason",
    "x-exception-message",
    "MT-Fault-Message",
    "NServiceBus.ExceptionInfo.Message",
    "x-exception-stacktrace",
];

/// Headers with the type of the error, which often says more than its message.
const ERROR_TYPES: [&str; 2] =
    ["MT-Fault-ExceptionType", "NServiceBus.ExceptionInfo.ExceptionType"];

/// Headers that count tries or retries, and the number to add to get tries.
const TRIES: [(&str, i64); 3] = [("x-tries", 0), ("x-retry-count", 1), ("MT-Fault-RetryCount", 1)];

/// Headers that say when the first and when the latest try failed.
pub(super) const FIRST_FAILED_AT: [&str; 1] = ["x-first-failed-at"];
pub(super) const LAST_FAILED_AT: [&str; 3] =
    ["x-last-failed-at", "MT-Fault-Timestamp", "NServiceBus.TimeOfFailure"];

/// Headers that name the exchange and the routing key that the message was first published with.
pub(super) const EXCHANGES: [&str; 1] = ["x-original-exchange"];
pub(super) const ROUTING_KEYS: [&str; 2] = ["x-original-routing-key", "x-original-routingKey"];

/// Headers that name the type of the message.
pub(super) const TYPES: [&str; 3] =
    ["MT-Fault-MessageType", "NServiceBus.EnclosedMessageTypes", "__TypeId__"];

/// Endings that turn the name of a queue into that of its dead-letter queue.
const SUFFIXES: [&str; 8] =
    [".dlq", "-dlq", "_dlq", ".DLQ", ".dead", ".dead-letter", ".dead-letters", "_error"];

/// The maximum length of a stored reason, in characters. The headers keep all of it.
const REASON_LIMIT: usize = 4000;

/// Headers that the operator configured; they take precedence over the known ones.
#[derive(Debug, Clone, Default)]
pub(super) struct NamedHeaders {
    pub(super) reason: Option<String>,
    pub(super) tries: Option<String>,
}

/// Returns the consumer's reason for the failure, if a header has one.
pub(super) fn reason(table: &FieldTable, named: &NamedHeaders) -> Option<String> {
    let named = named.reason.as_deref().and_then(|name| headers::text(table, name));
    let reason = named.or_else(|| {
        let name = REASONS.into_iter().find(|name| headers::text(table, name).is_some());
        let reason = headers::text(table, name?)?;
        if name == Some("x-exception-stacktrace") {
            return reason.lines().next().map(ToOwned::to_owned);
        }
        let error_type = first_text(table, &ERROR_TYPES);
        Some(match error_type.filter(|error_type| !reason.starts_with(error_type)) {
            Some(error_type) => format!("{error_type}: {reason}"),
            None => reason,
        })
    });
    let reason = reason.or_else(|| first_text(table, &ERROR_TYPES));
    reason.map(|reason| reason.chars().take(REASON_LIMIT).collect())
}

/// Returns the consumer's count of tries, if a header has one.
pub(super) fn tries(table: &FieldTable, named: &NamedHeaders) -> Option<i64> {
    let named = named.tries.as_deref().and_then(|name| headers::count(table, name));
    named.or_else(|| {
        let mut known = TRIES.into_iter();
        known.find_map(|(name, more)| Some(headers::count(table, name)?.saturating_add(more)))
    })
}

/// Returns the queue from which a consumer's library moved the message, if it says so.
pub(super) fn failed_queue(table: &FieldTable) -> Option<String> {
    // queue@machine
    let nservicebus = headers::text(table, "NServiceBus.FailedQ")
        .and_then(|queue| queue.split('@').next().map(ToOwned::to_owned));
    // rabbitmq://host/virtual-host/queue?parameters
    let masstransit = || {
        let address = headers::text(table, "MT-Fault-InputAddress")?;
        let path = address.split('?').next()?;
        path.rsplit_once('/').map(|(_, queue)| queue.to_owned())
    };
    nservicebus.or_else(masstransit).filter(|queue| is_queue_name(queue))
}

/// Returns the name of the queue whose dead letters are in `dead_letter_queue`, going by its name.
pub(super) fn queue_of(dead_letter_queue: &str) -> Option<String> {
    let name = SUFFIXES.iter().find_map(|suffix| dead_letter_queue.strip_suffix(suffix));
    name.filter(|name| is_queue_name(name)).map(ToOwned::to_owned)
}

/// Whether `name` may be the name of a queue.
pub(super) fn is_queue_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
}

/// Returns the first of some headers that the message has.
pub(super) fn first_text(table: &FieldTable, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| headers::text(table, name))
}

#[cfg(test)]
mod tests {
    use amq_protocol::types::AMQPValue;

    use super::*;

    fn table(values: &[(&str, &str)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in values {
            table.insert((*name).into(), AMQPValue::LongString((*value).into()));
        }
        table
    }

    fn reason_of(values: &[(&str, &str)]) -> Option<String> {
        reason(&table(values), &NamedHeaders::default())
    }

    #[test]
    fn each_librarys_reason_is_found() {
        for (values, expected) in [
            (&[("x-reason", "customer unknown")][..], "customer unknown"),
            (&[("x-exception-message", "no"), ("x-exception-stacktrace", "a\nb")], "no"),
            (&[("x-exception-stacktrace", "java.lang.Error: no\n\tat A")], "java.lang.Error: no"),
            (&[("MT-Fault-Message", "no"), ("MT-Fault-ExceptionType", "A.B")], "A.B: no"),
            (&[("MT-Fault-ExceptionType", "A.B")], "A.B"),
            (&[("NServiceBus.ExceptionInfo.Message", "no")], "no"),
        ] {
            assert_eq!(reason_of(values).as_deref(), Some(expected), "{values:?}");
        }
        assert_eq!(reason_of(&[("x-other", "no")]), None);
        let long = "é".repeat(5000);
        let kept = reason_of(&[("x-reason", &long)]).map(|kept| kept.chars().count());
        assert_eq!(kept, Some(REASON_LIMIT));
    }

    #[test]
    fn headers_that_the_operator_names_go_first() {
        let table = table(&[("x-reason", "known"), ("x-why", "own"), ("x-tries", "3"), ("n", "7")]);
        let named = NamedHeaders { reason: Some("x-why".into()), tries: Some("n".into()) };
        assert_eq!(reason(&table, &named).as_deref(), Some("own"));
        assert_eq!(
            (tries(&table, &named), tries(&table, &NamedHeaders::default())),
            (Some(7), Some(3))
        );
        let missing = NamedHeaders { reason: Some("none".into()), tries: Some("none".into()) };
        assert_eq!(reason(&table, &missing).as_deref(), Some("known"));
        assert_eq!(tries(&table, &missing), Some(3));
    }

    #[test]
    fn the_queue_is_found_in_headers_or_by_its_name() {
        let address = "rabbitmq://broker/shop/billing?prefetch=1";
        assert_eq!(
            failed_queue(&table(&[("MT-Fault-InputAddress", address)])).as_deref(),
            Some("billing")
        );
        let failed = failed_queue(&table(&[("NServiceBus.FailedQ", "billing@node1")]));
        assert_eq!(failed.as_deref(), Some("billing"));
        assert_eq!(failed_queue(&table(&[("MT-Fault-InputAddress", "x/")])), None);
        for (name, expected) in [
            ("customer.orders_count.dlq", Some("customer.orders_count")),
            ("billing_error", Some("billing")),
            ("work-dlq", Some("work")),
            (".dlq", None),
            ("parked", None),
        ] {
            assert_eq!(queue_of(name).as_deref(), expected, "{name}");
        }
    }
}
