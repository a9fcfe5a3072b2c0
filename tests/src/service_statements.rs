//! The statements of the services, with parameters and with tables of 60,000 rows.

use std::collections::BTreeMap;

/// A customer with one old order, one with half of all, and one with none.
const RARE: &str = "'00000000-0000-0000-0000-000000000001'";
const LARGE: &str = "'00000000-0000-0000-0000-000000000002'";
const NOBODY: &str = "'00000000-0000-0000-0000-000000000003'";

/// Realistic orders: the newest are all `created`, most old ones `delivered`, a few in between.
pub const ORDERS: &str = "
    INSERT INTO orders (id, customer_public_id, product_name, quantity, price, delivery_address, status)
    SELECT lpad(to_hex(n), 32, '0')::uuid,
           CASE WHEN n = 7 THEN '00000000-0000-0000-0000-000000000001'
                WHEN n % 2 = 0 THEN '00000000-0000-0000-0000-000000000002'
                ELSE md5((n / 5)::text)::uuid END,
           'Laptop', 1, 1200, 'Cra 7',
           CASE WHEN n > 40000 THEN 'created' WHEN n % 1000 = 1 THEN 'shipped' ELSE 'delivered' END
    FROM generate_series(1, 60000) AS n;
    INSERT INTO idempotency_keys (key, order_id, created_at)
    SELECT n::text, lpad(to_hex(n), 32, '0')::uuid, now() - interval '1 second' * (60000 - n) * 2
    FROM generate_series(1, 60000) AS n";

/// Customers, and as many counted events.
pub const CUSTOMERS: &str = "
    INSERT INTO customers (id, name, address)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'Juan', 'Cra 7' FROM generate_series(1, 60000) AS n;
    INSERT INTO processed_events (event_id, processed_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, now() - interval '1 second' * (60000 - n)
    FROM generate_series(1, 60000) AS n";

/// The types and values of a statement's parameters.
pub type Case = (&'static str, Vec<String>);

/// An order with the id `n`.
fn id(n: u32) -> String {
    format!("'{n:032x}'")
}

/// The statements of the order service, by name.
#[must_use]
pub fn order_cases() -> BTreeMap<&'static str, Case> {
    let event = "gen_random_uuid()";
    let (new, last) = ("gen_random_uuid()", id(u32::MAX));
    let one = |key: &str| {
        format!(
            "ARRAY[{new}], ARRAY[{RARE}]::uuid[], '{{Laptop}}', '{{1}}', '{{1200}}', '{{Cra 7}}', \
             ARRAY[{event}], ARRAY['{{}}']::jsonb[], ARRAY[{key}]::text[], '0'"
        )
    };
    let all = "'{created,processing,shipped,delivered,cancelled}'";
    let mut lists = Vec::new();
    for customer in [RARE, LARGE, NOBODY] {
        for statuses in [all, "'{delivered}'", "'{shipped}'", "'{cancelled}'", "'{created}'"] {
            for before in [id(100), id(40_000), last.clone()] {
                lists.push(format!("{before}, 50, {customer}, {statuses}"));
            }
        }
    }
    let statuses = ["created", "delivered", "shipped", "cancelled"];
    BTreeMap::from([
        (
            "change_status",
            (
                "uuid, text, text[], uuid, jsonb",
                vec![
                    format!("{}, 'cancelled', '{{created}}', {event}, '{{}}'", id(50_000)),
                    format!("{new}, 'cancelled', '{{created}}', {event}, '{{}}'"),
                ],
            ),
        ),
        (
            "create_orders",
            (
                "uuid[], uuid[], text[], integer[], numeric[], text[], uuid[], jsonb[], text[], text",
                vec![
                    format!(
                        "ARRAY[{new}, {new}], ARRAY[{RARE}, {LARGE}]::uuid[], '{{a,b}}', '{{1,1}}', '{{1,2}}', '{{c,d}}', \
                         ARRAY[{new}, {new}], ARRAY['{{}}', '{{}}']::jsonb[], '{{59998,NULL}}', '250ms'"
                    ),
                    one("NULL"),
                    one("'new'"),
                    one("'59999'"),
                    one("'1'"),
                ],
            ),
        ),
        ("find_order", ("uuid", vec![id(1), new.to_owned()])),
        ("find_order_by_key", ("text", vec!["'59999'".to_owned(), "'none'".to_owned()])),
        ("find_orders", ("uuid[]", vec![format!("ARRAY[{}, {}]::uuid[]", id(1), id(59_999))])),
        ("find_schema", ("", vec![String::new()])),
        ("list_orders", ("uuid, bigint", vec![format!("{last}, 50"), format!("{}, 50", id(100))])),
        ("list_orders_by_customer", ("uuid, bigint, uuid, text[]", lists)),
        (
            "list_orders_by_status",
            (
                "uuid, bigint, text",
                [id(100), id(40_000), last]
                    .iter()
                    .flat_map(|before| statuses.map(|status| format!("{before}, 50, '{status}'")))
                    .collect(),
            ),
        ),
        ("prune_idempotency_keys", ("bigint", vec!["10".to_owned()])),
    ])
}

/// The statements of the customer service, by name.
#[must_use]
pub fn customer_cases() -> BTreeMap<&'static str, Case> {
    let (some, new) = (id(30_000), "gen_random_uuid()");
    let both = format!("ARRAY[{some}, {new}]::uuid[]");
    BTreeMap::from([
        ("has_customers", ("", vec![String::new()])),
        ("find_missing_privileges", ("boolean", vec!["true".to_owned()])),
        ("find_missing_columns", ("", vec![String::new()])),
        ("get_server_info", ("", vec![String::new()])),
        (
            "count_events",
            (
                "uuid[], uuid[]",
                vec![format!("ARRAY[{some}, {new}]::uuid[], ARRAY[{some}, {some}]::uuid[]")],
            ),
        ),
        ("find_locked_customers", ("uuid[]", vec![both.clone()])),
        ("find_schema", ("", vec![String::new()])),
        ("get_customer", ("uuid", vec![some.clone(), new.to_owned()])),
        ("insert_customer", ("uuid, text, text", vec![format!("{new}, 'Juan', 'Cra 7'")])),
        (
            "list_customers",
            (
                "uuid, bigint",
                vec![
                    format!("{}, 50", id(0)),
                    format!("{some}, 50"),
                    format!("{}, 50", id(59_990)),
                ],
            ),
        ),
        ("lock_customers", ("uuid[]", vec![both])),
        ("lock_pruning", ("", vec![String::new()])),
        ("prepare_session", ("text, text", vec!["'5s', '250ms'".to_owned()])),
        (
            "prune_events",
            (
                "double precision, bigint, timestamptz",
                vec!["50000, 10, NULL".to_owned(), "100000, 10, NULL".to_owned()],
            ),
        ),
        ("seed_customers", ("", vec![String::new()])),
    ])
}
