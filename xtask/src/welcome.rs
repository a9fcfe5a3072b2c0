//! Prints how to use a stack that is ready.

use url::Url;

use crate::plan::Addresses;
use crate::state::{env_file, relative};
use crate::terminal::{bold, line};

pub(crate) fn welcome(at: &Addresses, detached: bool) -> anyhow::Result<()> {
    let orders = &at.order_service;
    let customers = &at.customer_service;
    line(&format!("\n{}\n", bold("The pipeline is ready.")));
    line(&format!("  Orders      {orders}/api/orders      docs: {orders}/docs"));
    line(&format!("  Customers   {customers}/api/customers   docs: {customers}/docs"));
    if let Some(management) = at.rabbitmq_management.as_deref().and_then(|u| Url::parse(u).ok()) {
        let host = management.host_str().unwrap_or_default();
        let port = management.port().unwrap_or(80);
        let user = management.username();
        let password = management.password().unwrap_or_default();
        line(&format!("  RabbitMQ    http://{host}:{port}/   user: {user}   password: {password}"));
    }
    line("\nPost an order:");
    line(&format!(
        "  curl -sS {orders}/api/orders -H 'content-type: application/json' -d '{ORDER}'"
    ));
    line("See it counted:");
    line(&format!("  curl -sS {customers}/api/customers/11111111-1111-1111-1111-111111111111"));
    line("Look into the outbox:");
    line(&format!("  {} '{}' -c '{OUTBOX}'", psql(), at.order_database));
    line(&format!("\nThese addresses as shell variables: . {}", relative(&env_file()?)));
    if detached {
        line("Show what runs: cargo xtask status. Stop it: cargo xtask down.");
    } else {
        line("Ctrl-C stops it. The services' logs follow.");
    }
    line("");
    Ok(())
}

/// The `psql` command to type: Homebrew and some distributions leave it out of PATH.
fn psql() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|dir| dir.join("psql").is_file()) {
        return "psql".to_owned();
    }
    stack::psql().map_or("psql".to_owned(), |program| program.display().to_string())
}

const ORDER: &str = r#"{"order":{"customer_public_id":"11111111-1111-1111-1111-111111111111","product_name":"Laptop","quantity":1,"price":"1200.00","delivery_address":"Cra 7 #12-34, Bogotá"}}"#;

const OUTBOX: &str =
    "SELECT id, event_type, created_at, published_at FROM outbox ORDER BY id DESC LIMIT 10";
