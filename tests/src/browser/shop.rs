//! An ordinary shop with three things wrong, for pages that are looked at: the same each time.

use stack::Service;

use crate::console::Console;
use crate::dead_letter_queue::DeadLetterQueue;
use crate::outbox::{Outbox, eventually};

/// What failed: 24 shipments that no queue is bound for, 3 events with wrong headers, 1 that is tried
/// again; an event behind each of them, and 9 that are paused. 3 have recovered.
const EVENTS: &str = r#"
    CREATE TEMPORARY TABLE failed AS
    SELECT 'shipment.planned' AS type, 4700 + i AS aggregate, 'returned' AS kind, 'a1c43e0597d2b86f' AS fingerprint, 1 AS attempts,
           'no queue is bound to the exchange orders.events for the routing key shipment.planned' AS error, '{}' AS headers, i AS n
    FROM generate_series(1, 24) AS i
    UNION ALL
    SELECT 'order.created', 4800 + i, 'unpublishable', '5be0f7318c9a42d6', 1, 'the headers are an array, but must be an object', '["eu"]', 24 + i
    FROM generate_series(1, 3) AS i
    UNION ALL
    SELECT 'order.paid', 4901, 'nacked', 'c7720e14d3f59b80', 2, 'the broker refused the message with a nack', '{}', 28;
    INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at, attempts, next_attempt_at,
                        last_error, error_kind, error_fingerprint)
    SELECT format('0199a000-0000-7000-8000-%s', lpad(to_hex(4096 * n), 12, '0'))::uuid, 'order', aggregate::text, type,
           jsonb_build_object('order', aggregate, 'customer', 'c-' || aggregate % 17, 'total', '129.90', 'lines',
                              jsonb_build_array(jsonb_build_object('product', 'A lamp', 'quantity', 1),
                                                jsonb_build_object('product', 'Bulbs', 'quantity', 4))),
           headers::jsonb, now() - interval '12 min' + n * interval '10 s', attempts,
           CASE kind WHEN 'nacked' THEN now() + interval '1 h' ELSE 'infinity' END, error, kind, fingerprint
    FROM failed ORDER BY n;
    INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, created_at)
    SELECT format('0199b000-0000-7000-8000-%s', lpad(to_hex(4096 * n), 12, '0'))::uuid, 'order', aggregate::text, 'order.changed', '{}',
           now() - interval '5 min'
    FROM failed ORDER BY n;
    INSERT INTO outbox_pauses (event_type, reason, actor, created_at, until)
    VALUES ('invoice.sent', 'billing moves to a new host', 'bea', now() - interval '40 min', now() + interval '2 h');
    INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, created_at)
    SELECT format('0199c000-0000-7000-8000-%s', lpad(to_hex(4096 * n), 12, '0'))::uuid, 'invoice', n::text, 'invoice.sent', '{}',
           now() - interval '3 min'
    FROM generate_series(1, 9) AS n;
    INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, created_at, published_at, attempts, last_error,
                        error_kind, error_fingerprint)
    SELECT format('01999000-0000-7000-8000-%s', lpad(to_hex(4096 * n), 12, '0'))::uuid, 'order', md5(n::text)::uuid::text, 'order.shipped', '{}',
           now() - interval '50 min', now() - interval '20 min', 3, 'no exchange ''orders.events'' in vhost ''/''', 'refused', 'd90b6e2c417fa835'
    FROM generate_series(1, 3) AS n;
    INSERT INTO outbox_audit (actor, action, reason, event_id, happened_at, operation_id, detail)
    SELECT 'alice', 'retry', 'the exchange is declared again', event_id, now() - interval '21 min', '01999000-0000-7000-8000-00000000000a', '{"attempts": 3}'
    FROM outbox WHERE event_type = 'order.shipped';
    INSERT INTO outbox_audit (actor, action, reason, event_id, happened_at, operation_id, detail)
    VALUES ('alice', 'retry', 'the queue is back', NULL, now() - interval '3 h', gen_random_uuid(), '{"matched": 312}'),
           ('bea', 'pause', 'billing moves to a new host', NULL, now() - interval '40 min', gen_random_uuid(), '{"event_type": "invoice.sent"}'),
           ('alice', 'edit', 'a wrong currency', '0199a000-0000-7000-8000-000000019000', now() - interval '8 min', gen_random_uuid(),
            '{"before": {"payload": {"total": "1299.0"}}}');
    INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, created_at)
    SELECT format('0199d000-0000-7000-8000-%s', lpad(to_hex(4096 * n), 12, '0'))::uuid, 'order', (5000 + n)::text, 'order.created', '{}', now()
    FROM generate_series(1, 60) AS n;"#;

/// What consumers could not process.
const LETTERS: &str = r#"
    INSERT INTO dead_letters (queue, return_to, identity, message_id, event_type, exchange, routing_key, body, content_type, content_header,
                              properties, headers, error_kind, reason, fingerprint, tries, first_failed_at, last_failed_at, collected_at, note)
    SELECT 'billing.dlq', 'billing', '', '0199d000-0000-7000-8000-' || lpad(to_hex(4096 * i), 12, '0'), type, 'orders.events', type,
           convert_to(format('{"order": %s, "customer": "c-%s", "total": "129.90"}', 5000 + i, i), 'UTF8'), 'application/json',
           decode(rpad('003c', 28, '0'), 'hex'), '{"content_type": "application/json"}', '{"x-error": "unknown customer"}', kind,
           format(reason, i), fingerprint, 5, now() - interval '26 min', now() - interval '25 min', now() - interval '25 min',
           CASE i WHEN 2 THEN 'asked the customers team' END
    FROM (VALUES ('order.created', 'failed', 'customer c-%s is unknown', '3d9f20b4c8e61a57', 5),
                 ('order.paid', 'rejected', 'the amount of payment %s is no number', '8814ac90be3f7d02', 2)) AS causes (type, kind, reason, fingerprint, n),
         generate_series(1, n) AS i;"#;

/// A shop: its outbox with a relay at work, its desk, and a console.
#[derive(Debug)]
pub struct Shop {
    /// Its outbox.
    pub outbox: Outbox,
    /// Its desk.
    pub desk: DeadLetterQueue,
    /// Its console.
    pub console: Console,
    _relay: Service,
}

impl Shop {
    /// The id of an event that is stuck.
    pub const STUCK: &str = "0199a000-0000-7000-8000-000000019000";
    /// The cause with the most events.
    pub const CAUSE: &str = "a1c43e0597d2b86f";

    /// Opens it: what is published by then is published.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn open() -> anyhow::Result<Self> {
        let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
        outbox.queue("all", "order.created").await?;
        outbox.sql.batch_execute(EVENTS).await?;
        desk.sql.batch_execute(LETTERS).await?;
        let relay = outbox.relay_process(&[]).await?;
        let published = "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL";
        eventually("the others are published", async || {
            Ok(outbox.count(published, &[]).await? == 63)
        })
        .await?;
        let console = Console::start(&outbox, Some(&desk), &[("OUTBOX_ACTOR", "alice")]).await?;
        Ok(Self { outbox, desk, console, _relay: relay })
    }
}
