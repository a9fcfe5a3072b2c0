//! The three APIs on real servers, with something to find in them.

use pipeline_tests::console::Console;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::Rows;
use pipeline_tests::failed_events::{NO_QUEUE, TOO_LONG, add_failed};
use pipeline_tests::order_api::OrderApi;
use pipeline_tests::outbox::Outbox;
use pipeline_tests::pipeline::{address, ready, start_customer_api};
use pipeline_tests::temp_folder::TempFolder;
use stack::{Database, Service};

/// The secret of the console's only user.
const SECRET: &str = "the secret of the fuzzer";

/// Events in every state, beside the failed ones.
const EVENTS: &str = "
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers, published_at, next_attempt_at, attempts, last_error)
    SELECT 'order', 'a/b' || i, 'order.created', '{\"n\": 1.10}'::jsonb, '{\"h\": \"x\"}'::jsonb, NULL::timestamptz, 'infinity'::timestamptz, 1, 'x' FROM generate_series(1, 20) AS i
    UNION ALL SELECT 'order', 'c' || i, 'order.shipped', '{}', '{}', NULL, NULL, 0, NULL FROM generate_series(1, 20) AS i
    UNION ALL SELECT 'order', 'd' || i, 'order.created', '7', '{}', now(), NULL, 1, NULL FROM generate_series(1, 120) AS i
    UNION ALL SELECT 'order', 'e' || i, 'order.created', '{}', '{}', NULL, now() + interval '1 day', i % 2, NULL FROM generate_series(1, 20) AS i";

/// A running API.
#[derive(Debug)]
pub(crate) struct Api {
    /// The program, and the name of its document.
    pub(crate) name: &'static str,
    /// `http://127.0.0.1:port`.
    pub(crate) url: String,
    /// A header of every request.
    pub(crate) header: Option<String>,
}

/// All that runs; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Apis {
    orders: OrderApi,
    customers: (Service, Database),
    console: (Console, Outbox, DeadLetterQueue, TempFolder),
    /// The APIs.
    pub(crate) all: [Api; 3],
}

impl Apis {
    /// Starts the APIs and waits until they are ready.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let orders = OrderApi::start().await?;
        let database = stack::shared().await?.database("customers").await?;
        let customers = start_customer_api(&database.url).await?;
        ready(&customers).await?;
        let customers_url = address(&customers, "HTTP port is open").await?;
        let console = Box::pin(start_console()).await?;
        let header = Some(format!("Authorization: Bearer {SECRET}"));
        let all = [
            Api { name: "order-service", url: orders.url.clone(), header: None },
            Api { name: "customer-service", url: customers_url, header: None },
            Api { name: "outbox-console", url: console.0.url.clone(), header },
        ];
        Ok(Self { orders, customers: (customers, database), console, all })
    }

    /// Returns the last lines of the log of a program that has ended, or `None` while all run.
    pub(crate) fn ended(&self) -> Option<String> {
        let programs = [self.orders.service(), &self.customers.0, &self.console.0.process];
        programs.iter().find(|program| !program.is_running()).map(|program| program.last_lines())
    }
}

/// A console whose only user may do everything.
async fn start_console() -> anyhow::Result<(Console, Outbox, DeadLetterQueue, TempFolder)> {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    outbox.sql.batch_execute(EVENTS).await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 60).await?;
    add_failed(&outbox, "order.shipped", ["nacked", TOO_LONG], 60).await?;
    desk.add_rows(120, Rows::default()).await?;
    let folder = TempFolder::new()?;
    let users = folder.write("users", &format!("fuzzer:admin:{SECRET}\n"))?;
    let settings = [("CONSOLE_AUTH", "token"), ("CONSOLE_USERS_FILE", users.as_str())];
    let console = Console::start(&outbox, Some(&desk), &settings).await?;
    Ok((console, outbox, desk, folder))
}
