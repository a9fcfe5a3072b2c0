//! Prints how to use a stack that is ready.

use url::Url;

use crate::plan::Addresses;
use crate::state::{env_file, relative};
use crate::terminal::{bold, line};

pub(crate) fn welcome(at: &Addresses, detached: bool) -> anyhow::Result<()> {
    let (orders, customers) = (&at.order_service, &at.customer_service);
    line(&format!("\n{}\n", bold("The pipeline is ready.")));
    line(&format!(
        "  Console         {}/   failures, events, dead letters in a browser",
        at.console
    ));
    line(&format!("  Orders API      {orders}/docs"));
    line(&format!("  Customers API   {customers}/docs"));
    if let Some(management) = at.rabbitmq_management.as_deref().and_then(|u| Url::parse(u).ok()) {
        let host = management.host_str().unwrap_or_default();
        let port = management.port().unwrap_or(80);
        let user = management.username();
        let password = management.password().unwrap_or_default();
        line(&format!(
            "  RabbitMQ        http://{host}:{port}/   user: {user}   password: {password}"
        ));
    }
    line("\nPost an order:");
    line(&format!("  curl -sS {orders}/api/orders \\"));
    line("    -H 'content-type: application/json' -d @examples/order.json");
    line("See it counted:");
    line(&format!("  curl -sS {customers}/api/customers"));
    line("Look into the outbox:");
    line(&format!("  . {}", relative(&env_file()?)));
    line(&format!("  {} \"$ORDER_DATABASE_URL\" -c '{OUTBOX}'", psql()));
    if let Some(ops) = &at.desk_ops {
        line("Look at the consumer's dead letters:");
        line("  export DEAD_LETTERS_DATABASE_URL=\"$CUSTOMER_DATABASE_URL\"");
        line("  cargo run -q -p outbox-relay -- dead-letters groups");
        line(&format!("  curl -sS {ops}/metrics | grep ^dead_letters"));
    }
    line("Kill the broker and the relay, and see that nothing is lost:");
    line("  cargo xtask demo");
    line("");
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

const OUTBOX: &str = "SELECT event_type, published_at FROM outbox";
