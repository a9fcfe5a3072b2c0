//! The cost of an order as a table.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

const PROCESSES: [&str; 7] = [
    "order-service",
    "outbox-relay",
    "customer-service consumer",
    "customer-service api",
    "PostgreSQL",
    "RabbitMQ",
    "load generator",
];

/// One row per load.
pub(super) fn table(costs: &[Value]) -> String {
    if costs.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "COST OF AN ORDER, CPU in µs",
        "history",
        "order-service",
        "relay",
        "consumer",
        "customer api",
        "PostgreSQL",
        "RabbitMQ",
        "(load)",
        "WAL bytes",
        "statements",
    ]);
    for cost in costs {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            number => number.to_string(),
        };
        let mut cells = vec![format!("  {}", text(&cost["load"])), text(&cost["history"])];
        cells.extend(PROCESSES.map(|process| text(&cost["cpu_us"][process])));
        cells.extend([text(&cost["wal_bytes"]), text(&cost["statements"])]);
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn a_load_is_a_row() {
        let cost = serde_json::json!({
            "load": "200 orders/s", "history": 0, "cpu_us": { "PostgreSQL": 321 }, "wal_bytes": 1234, "statements": null
        });
        let text = table(&[cost]);
        assert!(
            text.contains("200 orders/s") && text.contains("321") && text.contains("1234"),
            "{text}"
        );
        assert_eq!(table(&[]), "");
    }
}
