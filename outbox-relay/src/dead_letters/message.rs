//! A message of a dead-letter queue as a row.

use amq_protocol::types::FieldTable;
use amqp::Delivery;
use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::conventions::{self, NamedHeaders, first_text};
use super::deaths::{self, Death};
use super::identity::identity;
use super::{headers, json};
use crate::cause::Fingerprint;
use crate::config::CollectorArgs;

/// The header of a returned message that names its row: `<dead-letter queue>/<id>`.
pub(crate) const RETURNED_FROM: &str = "x-returned-from";

/// The maximum length of a stored type, in bytes: AMQP's limit for the property.
const TYPE_LIMIT: usize = 255;

/// How the messages of a queue are read.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    virtual_host: String,
    queue: String,
    return_to: Option<String>,
    named: NamedHeaders,
}

impl Reading {
    pub(super) fn new(args: &CollectorArgs, virtual_host: &str) -> Self {
        let named =
            NamedHeaders { reason: args.reason_header.clone(), tries: args.tries_header.clone() };
        Self {
            virtual_host: virtual_host.to_owned(),
            queue: args.queue.clone(),
            return_to: args.return_to.clone(),
            named,
        }
    }

    /// The dead-letter queue.
    pub(super) fn queue(&self) -> &str {
        &self.queue
    }

    /// Makes a row of a message.
    pub(super) fn read(&self, delivery: Delivery) -> DeadLetter {
        let table = delivery.properties().headers().as_ref();
        let none = FieldTable::default();
        let table = table.unwrap_or(&none);
        let deaths = deaths::deaths(table);
        let death = deaths::cause(&deaths, &self.queue);
        let (exchange, routing_key) = origin(table, &deaths, &delivery);
        let reason = conventions::reason(table, &self.named);
        let kind = kind(reason.as_deref(), death);
        let tries = conventions::tries(table, &self.named).or_else(|| tried(&deaths, death));
        let returned_from = headers::text(table, RETURNED_FROM).and_then(|text| parse_row(&text));
        DeadLetter {
            tag: delivery.info.tag,
            redelivered: delivery.info.redelivered,
            identity: identity(&self.virtual_host, &self.queue, &delivery),
            return_to: self.return_to(table, death),
            message_id: delivery.message_id().map(plain),
            event_type: self.event_type(table, &delivery, &routing_key),
            exchange,
            routing_key,
            content_type: delivery.content_type().map(plain),
            properties: json::properties(delivery.properties()).to_string(),
            headers: json::table(table).to_string(),
            fingerprint: Fingerprint::of(reason.as_deref().unwrap_or(kind)).to_string(),
            kind,
            reason,
            tries: tries.map(|tries| i32::try_from(tries).unwrap_or(i32::MAX)),
            first_failed_at: first_failed_at(table, &deaths),
            last_failed_at: last_failed_at(table, &deaths),
            returned_from,
            content_header: delivery.content_header().to_vec(),
            body: delivery.body,
        }
    }

    fn return_to(&self, table: &FieldTable, death: Option<&Death>) -> Option<String> {
        let said = || {
            let died_in = death.map(|death| death.queue.clone());
            died_in.filter(|queue| conventions::is_queue_name(queue))
        };
        self.return_to
            .clone()
            .or_else(|| conventions::failed_queue(table))
            .or_else(said)
            .or_else(|| conventions::queue_of(&self.queue))
    }

    fn event_type(&self, table: &FieldTable, delivery: &Delivery, routing_key: &str) -> String {
        let named = delivery.kind().filter(|kind| !kind.is_empty()).map(plain);
        // NServiceBus lists several, each with its assembly.
        let known = || {
            let types = first_text(table, &conventions::TYPES)?;
            types.split([',', ';']).next().map(ToOwned::to_owned)
        };
        let mut event_type = named.or_else(known).unwrap_or_else(|| {
            // Published straight to the dead-letter queue: its routing key is no type.
            if routing_key == self.queue { String::new() } else { routing_key.to_owned() }
        });
        event_type.truncate(event_type.floor_char_boundary(TYPE_LIMIT));
        event_type
    }
}

/// A message of a dead-letter queue, as it is stored.
#[derive(Debug, Clone)]
pub(super) struct DeadLetter {
    pub(super) tag: u64,
    pub(super) redelivered: bool,
    pub(super) identity: [u8; 32],
    pub(super) return_to: Option<String>,
    pub(super) message_id: Option<String>,
    pub(super) event_type: String,
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) content_type: Option<String>,
    pub(super) properties: String,
    pub(super) headers: String,
    pub(super) kind: &'static str,
    pub(super) reason: Option<String>,
    pub(super) fingerprint: String,
    pub(super) tries: Option<i32>,
    pub(super) first_failed_at: Option<String>,
    pub(super) last_failed_at: Option<String>,
    /// The dead-letter queue and the row that it was returned from, as its header says.
    pub(super) returned_from: Option<(String, i64)>,
    pub(super) content_header: Vec<u8>,
    pub(super) body: Bytes,
}

impl DeadLetter {
    /// Returns about how much memory the message takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.body.len() + self.content_header.len() + self.properties.len() + self.headers.len()
    }

    /// Replaces non-ASCII characters in the columns for people: a database in another encoding than
    /// UTF-8 can't store every character. `body` and `content_header` stay as they are. A queue's
    /// name or an id that is not ASCII is dropped, as replacements could make it that of another.
    pub(super) fn reduce_to_ascii(&mut self) {
        self.return_to.take_if(|queue| !queue.is_ascii());
        self.message_id.take_if(|id| !id.is_ascii());
        for text in [
            Some(&mut self.event_type),
            Some(&mut self.exchange),
            Some(&mut self.routing_key),
            Some(&mut self.properties),
            Some(&mut self.headers),
            self.content_type.as_mut(),
            self.reason.as_mut(),
        ]
        .into_iter()
        .flatten()
        {
            *text = text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
        }
    }

    /// Clears the columns for people, in case the database refuses one of them. `body` and
    /// `content_header` have everything.
    pub(super) fn reduce_to_contents(&mut self) {
        self.properties = "{}".to_owned();
        self.headers = "{}".to_owned();
        self.exchange.clear();
        self.routing_key.clear();
        self.content_type = None;
        self.reason = None;
        self.tries = None;
        self.first_failed_at = None;
        self.last_failed_at = None;
    }

    /// Returns a harmless message, to test whether the database can store any.
    pub(super) fn sample() -> Self {
        Self {
            tag: 1,
            redelivered: false,
            identity: [0; 32],
            return_to: None,
            message_id: None,
            event_type: String::new(),
            exchange: String::new(),
            routing_key: String::new(),
            content_type: None,
            properties: "{}".to_owned(),
            headers: "{}".to_owned(),
            kind: "unknown",
            reason: None,
            fingerprint: Fingerprint::of("unknown").to_string(),
            tries: None,
            first_failed_at: None,
            last_failed_at: None,
            returned_from: None,
            content_header: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// Returns what identifies the message in logs and reports.
    pub(super) fn name(&self) -> String {
        match &self.message_id {
            Some(id) => format!("message_id {id}"),
            None => format!("a message of {} bytes without message_id", self.body.len()),
        }
    }
}

/// Returns the `error_kind` of a message.
fn kind(reason: Option<&str>, death: Option<&Death>) -> &'static str {
    match (reason, death.map(|death| death.reason.as_str())) {
        (Some(_), _) => "failed",
        (None, Some("rejected")) => "rejected",
        (None, Some("expired")) => "expired",
        (None, Some("maxlen")) => "maxlen",
        (None, Some("delivery_limit")) => "delivery_limit",
        (None, _) => "unknown",
    }
}

/// Returns how often consumers of `death`'s queue rejected the message, as far as RabbitMQ counts
/// it.
fn tried(deaths: &[Death], death: Option<&Death>) -> Option<i64> {
    let death = death.filter(|death| death.reason == "rejected")?;
    let same =
        deaths.iter().filter(|other| other.queue == death.queue && other.reason == "rejected");
    Some(same.fold(0, |sum, death| sum.saturating_add(death.count)))
}

/// Returns the exchange and routing key that the message was first published with: from its
/// headers, or else its first death, or else the delivery.
fn origin(table: &FieldTable, deaths: &[Death], delivery: &Delivery) -> (String, String) {
    let first = deaths.last();
    let exchange = first_text(table, &conventions::EXCHANGES)
        .or_else(|| first.and_then(|death| death.exchange.clone()));
    let routing_key = first_text(table, &conventions::ROUTING_KEYS)
        .or_else(|| first.and_then(|death| death.routing_key.clone()));
    match (exchange, routing_key) {
        (None, None) => (plain(&delivery.info.exchange), plain(&delivery.info.routing_key)),
        (exchange, routing_key) => (exchange.unwrap_or_default(), routing_key.unwrap_or_default()),
    }
}

fn first_failed_at(table: &FieldTable, deaths: &[Death]) -> Option<String> {
    first_time(table, &conventions::FIRST_FAILED_AT)
        .or_else(|| deaths.iter().filter_map(|death| death.time).min())
        .and_then(rfc3339)
}

fn last_failed_at(table: &FieldTable, deaths: &[Death]) -> Option<String> {
    first_time(table, &conventions::LAST_FAILED_AT)
        .or_else(|| deaths.iter().filter_map(|death| death.time).max())
        .and_then(rfc3339)
}

fn first_time(table: &FieldTable, names: &[&str]) -> Option<OffsetDateTime> {
    names.iter().find_map(|name| headers::time(table, name))
}

fn rfc3339(time: OffsetDateTime) -> Option<String> {
    time.format(&Rfc3339).ok()
}

/// Reads the value of [`RETURNED_FROM`].
fn parse_row(text: &str) -> Option<(String, i64)> {
    let (queue, id) = text.rsplit_once('/')?;
    Some((queue.to_owned(), id.parse().ok()?))
}

/// Returns `text` without NUL, which PostgreSQL's text can't hold.
fn plain(text: &str) -> String {
    headers::lossy(text.as_bytes())
}

#[cfg(test)]
mod tests;
