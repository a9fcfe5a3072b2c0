use std::fmt::Display;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::Error;
use crate::transaction::Transaction;

/// An event that is to be written to the outbox.
#[derive(Debug, Clone)]
#[must_use = "an event is published only when it is written"]
pub struct Event {
    id: Uuid,
    aggregate_type: String,
    aggregate_id: String,
    event_type: String,
    payload: Result<String, String>,
    headers: Map<String, Value>,
    not_before: Option<SystemTime>,
}

impl Event {
    /// An event of the aggregate with this type and id, such as `order` and `4711`. Events of one
    /// aggregate are first delivered in the order in which they were written, as long as each
    /// transaction locks the aggregate's row, or inserts it, before it writes the event.
    ///
    /// `event_type` is the routing key, such as `order.shipped`: at most 255 bytes. `payload` is
    /// the event's data, of any type that serde can write as JSON.
    pub fn new(
        aggregate_type: impl Into<String>,
        aggregate_id: impl Display,
        event_type: impl Into<String>,
        payload: &(impl Serialize + ?Sized),
    ) -> Self {
        Self {
            // Its time comes first: the unique index grows at one end, which writes less WAL.
            id: Uuid::now_v7(),
            aggregate_type: aggregate_type.into(),
            aggregate_id: aggregate_id.to_string(),
            event_type: event_type.into(),
            payload: serde_json::to_string(payload).map_err(|error| error.to_string()),
            headers: Map::new(),
            not_before: None,
        }
    }

    /// Sets the id by which consumers know an event that comes twice, which otherwise is a new
    /// UUIDv7. The database refuses an event whose id is in the table, until the relay deletes that
    /// event (`OUTBOX_RETENTION`).
    pub fn id(mut self, id: Uuid) -> Self {
        self.id = id;
        self
    }

    /// Sets a header of the message: a string, a number or a bool. Names that begin with `amqp-`
    /// set properties of the message instead (docs/relay.md, "Properties of a message").
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Has the event published soon after this time. Until then it holds back no other event of its
    /// aggregate (docs/relay.md, "Later").
    pub fn not_before(mut self, time: SystemTime) -> Self {
        self.not_before = Some(time);
        self
    }

    /// Writes the event. It is published if the outermost transaction commits, and not otherwise.
    /// Returns its id.
    ///
    /// # Errors
    /// See [`Error`]. PostgreSQL refuses a NUL in a text, for instance, and an id that is in the
    /// table. After a conflict (SQLSTATE 40001, 40P01) the event can be written again in another
    /// transaction, with the same id.
    pub async fn write<T: Transaction>(
        &self,
        transaction: &mut T,
    ) -> Result<Uuid, Error<T::Error>> {
        let payload = self.payload.as_deref().map_err(|reason| Error::Payload(reason.clone()))?;
        let headers = Value::Object(self.headers.clone()).to_string();
        let id = self.id.to_string();
        let not_before = self.not_before.map(|time| microseconds(time).to_string());
        let parameters = [
            Some(id.as_str()),
            Some(&self.aggregate_type),
            Some(&self.aggregate_id),
            Some(&self.event_type),
            Some(payload),
            Some(&headers),
            not_before.as_deref(),
        ];
        transaction.insert(parameters).await.map_err(Error::Database)?;
        Ok(self.id)
    }
}

/// Since 1970; negative before.
fn microseconds(time: SystemTime) -> i128 {
    let signed = |micros: u128| i128::try_from(micros).unwrap_or(i128::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => signed(since.as_micros()),
        Err(before) => -signed(before.duration().as_micros()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::microseconds;

    #[test]
    fn times_before_1970_are_negative() {
        assert_eq!(microseconds(UNIX_EPOCH + Duration::from_millis(1)), 1_000);
        assert_eq!(microseconds(UNIX_EPOCH - Duration::from_millis(1)), -1_000);
    }
}
