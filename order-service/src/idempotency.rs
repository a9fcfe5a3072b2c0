//! `Idempotency-Key`: a request that is sent again gives the first answer again, and no second order.
//!
//! No answer is stored: the key points to the order that it made, all that the client sent stands in the order's row, and
//! nothing of it is ever changed. So the first answer can be told again from the row, and bodies can be compared with it.

use std::time::Duration;

use poem::http::HeaderMap;
use service_kit::postgres::{Database, DatabaseError};
use tokio_util::sync::CancellationToken;

use crate::domain::{NewOrder, Order};
use crate::metrics;
use crate::queries;

/// The header that carries it.
pub const HEADER: &str = "Idempotency-Key";

/// How many keys one statement forgets at the most.
const BATCH: u16 = 1000;

/// A client's name for one request, however often it is sent: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of a request, when it has one.
    ///
    /// # Errors
    /// With a sentence, when it is no key or when there are several.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(format!("{HEADER} is given more than once"));
        }
        let bytes = value.as_bytes();
        if !(1..=255).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_graphic) {
            return Err(format!("{HEADER} must consist of 1 to 255 visible ASCII characters"));
        }
        Ok(Some(Self(bytes.iter().copied().map(char::from).collect())))
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a request to create an order ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Once {
    /// It made the order.
    Created(Order),
    /// Its key made this order before, from the same body.
    Replayed(Order),
    /// Its key made another order before.
    OtherBody,
    /// Its key is held by an order that is not there.
    OrderGone,
}

impl Once {
    /// How a request for `new` ends whose key has made `order`.
    pub(crate) fn again(order: Order, new: &NewOrder) -> Self {
        if order.ordered == *new { Self::Replayed(order.as_created()) } else { Self::OtherBody }
    }
}

/// Whether there may be more to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruned {
    /// A whole batch went: there may be more.
    Batch,
    /// Nothing older than its retention is left.
    All,
}

/// Forgets one batch of keys that are older than 24 hours.
///
/// # Errors
/// When the database does not do it.
pub async fn prune_once(database: &Database) -> Result<Pruned, DatabaseError> {
    let forgotten = database
        .write(async |connection| queries::prune_idempotency_keys(connection, BATCH.into()).await)
        .await?;
    metrics::keys_pruned(forgotten);
    Ok(if forgotten < BATCH.into() { Pruned::All } else { Pruned::Batch })
}

/// Forgets old keys, batch by batch, until `shutdown`.
pub async fn prune(database: Database, shutdown: CancellationToken) {
    loop {
        let pruned = tokio::select! {
            () = shutdown.cancelled() => return,
            pruned = prune_once(&database) => pruned,
        };
        let pause = match pruned {
            Ok(Pruned::Batch) => Duration::from_millis(100),
            Ok(Pruned::All) => Duration::from_secs(60),
            Err(error) => {
                tracing::debug!(%error, "can't forget old idempotency keys now");
                Duration::from_secs(60)
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    fn key(values: &[&[u8]]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).expect("a header's value");
            headers.append("idempotency-key", value);
        }
        IdempotencyKey::from_headers(&headers).map(|key| key.map(|key| key.as_str().to_owned()))
    }

    #[test]
    fn a_key_is_visible_ascii_within_255_characters() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[b"~a-1!"]), Ok(Some("~a-1!".to_owned())));
        assert!(key(&[&[b'x'; 255]]).is_ok());
        for wrong in [&b""[..], b"a b", "é".as_bytes(), b"a\tb", &[b'x'; 256]] {
            assert!(key(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(key(&[b"a", b"a"]).is_err());
    }
}
