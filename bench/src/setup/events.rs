//! Events to write to an outbox.

use tokio_postgres::Client;

/// A payload that gives a body of about 350 bytes.
pub(crate) const PAYLOAD: &str = r#"{"order_public_id": "0190163d-8694-739b-aea5-966c26f8ad91", "customer_public_id": "11111111-1111-1111-1111-111111111111", "product_name": "a bicycle bell", "quantity": 1, "price": "12.50", "delivery_address": "Cra 7 #12-34"}"#;

/// Events written by one statement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Events<'a> {
    pub(crate) count: usize,
    pub(crate) aggregate_type: &'a str,
    /// `None`: a separate aggregate for each.
    pub(crate) aggregate_id: Option<&'a str>,
    pub(crate) event_type: &'a str,
    /// The percentage that no queue is bound for.
    pub(crate) unroutable_percent: u32,
}

impl Events<'static> {
    /// Routable events of distinct aggregates.
    pub(crate) fn distinct(count: usize) -> Self {
        Self {
            count,
            aggregate_type: "order",
            aggregate_id: None,
            event_type: "order.created",
            unroutable_percent: 0,
        }
    }

    /// Routable events of one aggregate.
    pub(crate) fn of_one_aggregate(count: usize) -> Self {
        Self { aggregate_id: Some("the hot one"), ..Self::distinct(count) }
    }

    /// Events of one aggregate, the first of which always fails.
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

    /// The number of them that no queue is bound for.
    pub(crate) fn unroutable(&self) -> usize {
        // From 1, as fill_outbox counts.
        (1..=self.count).filter(|number| number % 100 < self.unroutable_percent as usize).count()
    }
}
