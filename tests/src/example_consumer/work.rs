//! What each example does with its events, in SQL.

/// The events of a consumer and their effect.
#[derive(Debug)]
pub struct Work {
    /// Its queue.
    pub queue: &'static str,
    /// The file of its tables, below `examples/`.
    pub tables: &'static str,
    /// What its database user may do.
    pub grants: &'static str,
    /// Rows of its database that are there from the beginning.
    pub prepare: &'static str,
    /// Adds hundreds of events to the outbox.
    pub events: &'static str,
    /// Adds events that can't be applied yet.
    pub early_events: &'static str,
    /// Adds the rows that the early events need.
    pub late_rows: &'static str,
    /// The number of rows that are not as they are when each event was applied once.
    pub wrong_rows: &'static str,
    /// Type and data of one more event that can't be applied yet.
    pub early_event: (&'static str, &'static str),
    /// The reason why it can't be applied yet, as in `x-reason`.
    pub reason: &'static str,
    /// Adds the row that the early event needs.
    pub enable: &'static str,
}

/// `examples/python/balances.py`: 100 invoices, each paid by three events. Ten of them are unknown.
pub const BALANCES: Work = Work {
    queue: "balances",
    tables: "python/balances.sql",
    grants: "SELECT, INSERT, UPDATE ON balances",
    prepare: "",
    events: r#"
        INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
        SELECT 'invoice', n, 'invoice.issued', jsonb_build_object('invoice', n::text, 'amount', '100.00')
        FROM generate_series(1, 90) AS n;
        INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
        SELECT 'invoice', n, 'invoice.paid', jsonb_build_object('invoice', n::text, 'amount', amount || '.50')
        FROM generate_series(1, 3) AS amount, generate_series(1, 90) AS n"#,
    early_events: r#"
        INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
        SELECT 'invoice', n, 'invoice.paid', jsonb_build_object('invoice', n::text, 'amount', amount || '.50')
        FROM generate_series(1, 3) AS amount, generate_series(91, 100) AS n"#,
    late_rows: "INSERT INTO balances (invoice, due) SELECT n, 100 FROM generate_series(91, 100) AS n",
    wrong_rows: "SELECT count(*) FROM generate_series(1, 100) AS n
                 WHERE NOT EXISTS (SELECT FROM balances WHERE invoice = n AND due = 92.50)",
    early_event: ("invoice.paid", r#"{"invoice": "4711", "amount": "1.00"}"#),
    reason: "invoice 4711 is not known yet",
    enable: "INSERT INTO balances (invoice, due) VALUES (4711, 1)",
};

/// `examples/node/turnover.js`: 20 items, each picked by 16 events. Two of them are unknown.
pub const TURNOVER: Work = Work {
    queue: "turnover",
    tables: "node/turnover.sql",
    grants: "SELECT, INSERT, UPDATE ON turnover",
    prepare: "",
    events: r#"
        INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
        SELECT 'item', item, 'stock.received', jsonb_build_object('item', 'item ' || item, 'quantity', 10)
        FROM generate_series(1, 4), generate_series(1, 18) AS item;
        INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
        SELECT 'item', item, 'stock.picked', jsonb_build_object('item', 'item ' || item, 'quantity', 2)
        FROM generate_series(1, 16), generate_series(1, 18) AS item"#,
    early_events: r#"
        INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
        SELECT 'item', item, 'stock.picked', jsonb_build_object('item', 'item ' || item, 'quantity', 2)
        FROM generate_series(1, 16), generate_series(19, 20) AS item"#,
    late_rows: "INSERT INTO turnover (item, received) VALUES ('item 19', 40), ('item 20', 40)",
    wrong_rows: "SELECT count(*) FROM generate_series(1, 20) AS n
                 WHERE NOT EXISTS (SELECT FROM turnover WHERE item = 'item ' || n AND received = 40 AND picked = 32)",
    early_event: ("stock.picked", r#"{"item": "chair", "quantity": 1, "order": "order-1"}"#),
    reason: "item chair is not known yet",
    enable: "INSERT INTO turnover (item, received) VALUES ('chair', 1)",
};

/// `examples/rust`: 50 shipments, for each of which eight events are consumed and eight written.
/// Five shipments are unknown.
pub const SHIPMENTS: Work = Work {
    queue: "shipments",
    tables: "rust/shipments.sql",
    grants: "SELECT, INSERT, UPDATE ON shipments",
    prepare: "INSERT INTO shipments (order_number, address) SELECT n, 'Cali' FROM generate_series(1, 45) AS n",
    events: r#"
        INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
        SELECT 'item', 'chair', 'stock.picked', jsonb_build_object('item', 'chair', 'order', n::text, 'quantity', 3)
        FROM generate_series(1, 8), generate_series(1, 45) AS n"#,
    early_events: r#"
        INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
        SELECT 'item', 'chair', 'stock.picked', jsonb_build_object('item', 'chair', 'order', n::text, 'quantity', 3)
        FROM generate_series(1, 8), generate_series(46, 50) AS n"#,
    late_rows: "INSERT INTO shipments (order_number, address) SELECT n, 'Cali' FROM generate_series(46, 50) AS n",
    wrong_rows: "SELECT count(*) FROM generate_series(1, 50) AS n
                 WHERE NOT EXISTS (SELECT FROM shipments WHERE order_number = n::text AND packed = 24)
                    OR (SELECT count(*) FROM outbox WHERE aggregate_id = n::text AND event_type = 'shipment.packed') <> 8",
    early_event: ("stock.picked", r#"{"item": "chair", "quantity": 1, "order": "order-1"}"#),
    reason: "there is no shipment of order-1 yet",
    enable: "INSERT INTO shipments (order_number, address) VALUES ('order-1', 'Cali')",
};
