//! The status of an order.

use std::fmt;
use std::str::FromStr;

use poem_openapi::Enum;
use serde::{Serialize, Serializer};
use service_kit::http::{FromJson, Json};
use tokio_postgres::types::{FromSql, Type, accepts};

/// Transitions: created → processing → shipped → delivered; created or processing → cancelled
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[oai(rename = "OrderStatus", rename_all = "lowercase")]
pub(crate) enum Status {
    /// Accepted; nothing has been done yet.
    Created,
    /// Being prepared.
    Processing,
    /// On its way.
    Shipped,
    /// Delivered to the customer.
    Delivered,
    /// Will not be delivered.
    Cancelled,
}

impl Status {
    /// Every status.
    pub(crate) const ALL: [Self; 5] =
        [Self::Created, Self::Processing, Self::Shipped, Self::Delivered, Self::Cancelled];

    /// The status as it is written in JSON, in the database and in event types.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Processing => "processing",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }

    /// The statuses that may follow this one.
    #[must_use]
    pub(crate) const fn next(self) -> &'static [Self] {
        match self {
            Self::Created => &[Self::Processing, Self::Cancelled],
            Self::Processing => &[Self::Shipped, Self::Cancelled],
            Self::Shipped => &[Self::Delivered],
            Self::Delivered | Self::Cancelled => &[],
        }
    }

    /// The statuses that may precede this one.
    #[must_use]
    pub(crate) fn before(self) -> Vec<&'static str> {
        let leads_here = |from: &Self| from.next().contains(&self);
        Self::ALL.into_iter().filter(leads_here).map(Self::as_str).collect()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("must be one of {all}")
        })
    }
}

impl FromJson for Status {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        match value {
            Json::Text(text) => text.parse().map_err(|fault| vec![fault]),
            other => Err(vec![format!("must be a string, not {}", other.kind())]),
        }
    }
}

impl<'a> FromSql<'a> for Status {
    fn from_sql(
        column: &Type,
        bytes: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(<&str>::from_sql(column, bytes)?.parse()?)
    }

    accepts!(TEXT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_is_the_inverse_of_next() {
        assert!(Status::Created.before().is_empty());
        assert_eq!(Status::Processing.before(), ["created"]);
        assert_eq!(Status::Shipped.before(), ["processing"]);
        assert_eq!(Status::Delivered.before(), ["shipped"]);
        assert_eq!(Status::Cancelled.before(), ["created", "processing"]);
    }

    #[test]
    fn each_status_is_parsed_from_its_text() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert!("Created".parse::<Status>().is_err());
    }
}
