//! Events that are written to an outbox.

use tokio_postgres::Client;

/// A payload that makes a body of about 350 bytes.
pub(crate) const PAYLOAD: &str = r#"{"order_public_id": "0190163d-8694-739b-aea5-966c26f8ad91", "customer_public_id": "11111111-1111-1111-1111-111111111111", "product_name": "a bicycle bell", "quantity": 1, "price": "12.50", "delivery_address": "Cra 7 #12-34"}"#;

/// Events that are written at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Events<'a> {
    pub(crate) count: usize,
    pub(crate) aggregate_type: &'a str,
    /// `None`: each has an aggregate of its own.
    pub(crate) aggregate_id: Option<&'a str>,
    pub(crate) event_type: &'a str,
    /// Of each hundred, how many no queue is bound for.
    pub(crate) unroutable_percent: u32,
}

impl Events<'static> {
    /// Events of distinct aggregates that a queue waits for.
    pub(crate) fn distinct(count: usize) -> Self {
        Self {
            count,
            aggregate_type: "order",
            aggregate_id: None,
            event_type: "order.created",
            unroutable_percent: 0,
        }
    }

    /// Events of one aggregate that a queue waits for.
    pub(crate) fn of_one_aggregate(count: usize) -> Self {
        Self { aggregate_id: Some("the hot one"), ..Self::distinct(count) }
    }

    /// Events of one aggregate of which the first fails for as long as it is tried.
    pub(crate) fn failing(count: usize) -> Self {
        Self {
            aggregate_type: "failing",
            aggregate_id: Some("the failing one"),
            event_type: "nobody.listens",
            ..Self::distinct(count)
        }
    }
}

impl Events<'_> {
    /// Adds them in one transaction.
    pub(crate) async fn insert(&self, sql: &Client) -> anyhow::Result<()> {
        sql.execute(
            include_str!("../../sql/fill_outbox.sql"),
            &[
                &i64::try_from(self.count)?,
                &self.aggregate_type,
                &self.aggregate_id,
                &self.event_type,
                &PAYLOAD,
                &i64::from(self.unroutable_percent),
            ],
        )
        .await?;
        Ok(())
    }

    /// How many of them no queue is bound for.
    pub(crate) fn unroutable(&self) -> usize {
        // As fill_outbox counts: from 1.
        (1..=self.count).filter(|number| number % 100 < self.unroutable_percent as usize).count()
    }
}
