//! An order service on free ports, in a separate process with metrics of its own.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use stack::{Database, Service};
use tokio_postgres::Client;

use crate::closed_port::ClosedPort;
use crate::pgbouncer::PgBouncer;
use crate::pipeline::{PATIENCE, address, connect};

/// A customer that every stub of the customer service knows.
pub const CUSTOMER: &str = "11111111-1111-1111-1111-111111111111";

/// A running order service. Dropping it kills it.
#[derive(Debug)]
pub struct OrderApi {
    /// `http://127.0.0.1:port` of the API.
    pub url: String,
    /// `http://127.0.0.1:port` of the operations port.
    pub ops_url: String,
    /// The HTTP client.
    pub http: reqwest::Client,
    service: Service,
    database: Option<Database>,
    _nowhere: ClosedPort,
    _pooler: Option<PgBouncer>,
}

/// When this variable is set, every order service of a test reaches its database through
/// `PgBouncer`: the suites of the API are to pass there as well.
const BEHIND_PGBOUNCER: &str = "ORDERS_BEHIND_PGBOUNCER";

impl OrderApi {
    /// Starts one on a fresh database, with customers unchecked, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&["--customer-check", "off"]).await
    }

    /// Starts one on a fresh database with further settings, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_with(settings: &[&str]) -> anyhow::Result<Self> {
        let database = stack::shared().await?.database("orders").await?;
        let mut api = Self::launch(&database.url, settings).await?;
        api.database = Some(database);
        api.ready().await?;
        Ok(api)
    }

    /// Starts one on the database at `url`, and waits until its ports are open. `settings` are
    /// flags and their values.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub async fn launch(url: &str, settings: &[&str]) -> anyhow::Result<Self> {
        // By default there is no customer service, whatever else runs on this machine.
        let closed = ClosedPort::reserve()?;
        let nowhere = format!("http://{}", closed.address());
        let (pooler, url) = match std::env::var_os(BEHIND_PGBOUNCER) {
            Some(_) => {
                let (pooler, url) = PgBouncer::before(url).await?;
                (Some(pooler), url)
            }
            None => (None, url.to_owned()),
        };
        let mut args = vec!["serve", "--database-url", &url];
        if !settings.contains(&"--customer-service-url") {
            args.extend(["--customer-service-url", &nowhere]);
        }
        args.extend(settings);
        let ports = [("LISTEN_ADDR", "127.0.0.1:0"), ("OPS_ADDR", "127.0.0.1:0")];
        let service = Service::spawn(stack::binary("order-service").await?, args, ports).await?;
        Ok(Self {
            url: address(&service, "HTTP port is open").await?,
            ops_url: address(&service, "operations port is open").await?,
            http: stack::http_client()?,
            service,
            database: None,
            _nowhere: closed,
            _pooler: pooler,
        })
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.service.log()
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let url = format!("{}/readyz", self.ops_url);
        while !self.http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            let last_lines = || self.service.last_lines();
            ensure!(self.service.is_running(), "the order service ended: {}", last_lines());
            ensure!(Instant::now() < deadline, "it did not become ready: {}", last_lines());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// A connection to its database.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sql(&self) -> anyhow::Result<Client> {
        connect(&self.database.as_ref().context("no database of its own")?.url).await
    }

    /// The process.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// A `POST /api/orders`, not sent yet.
    pub fn post(&self, body: &Value) -> RequestBuilder {
        self.http.post(format!("{}/api/orders", self.url)).json(body)
    }

    /// `GET path`.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Response> {
        Ok(self.http.get(format!("{}{path}", self.url)).send().await?)
    }

    /// `PATCH /api/orders/{id}` with a new status.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn patch(&self, id: &str, status: &str) -> anyhow::Result<Response> {
        let url = format!("{}/api/orders/{id}", self.url);
        Ok(self.http.patch(url).json(&json!({"order": {"status": status}})).send().await?)
    }

    /// Creates an order and returns its id.
    ///
    /// # Errors
    /// When it is not accepted.
    pub async fn create(&self) -> anyhow::Result<String> {
        let order = accepted(self.post(&order()).send().await?).await?;
        Ok(order["id"].as_str().context("an id")?.to_owned())
    }

    /// Stops it and waits until it has ended.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.sigterm()?;
        self.ended_well().await
    }

    /// Tells it to stop.
    ///
    /// # Errors
    /// When it can't be told.
    pub fn sigterm(&self) -> anyhow::Result<()> {
        self.service.sigterm()
    }

    /// Waits until it has ended successfully after [`sigterm`](Self::sigterm).
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub async fn ended_well(&self) -> anyhow::Result<()> {
        let status = self.service.wait_exit(PATIENCE).await?;
        ensure!(status.success(), "{status}: {}", self.service.last_lines());
        Ok(())
    }
}

/// A valid order.
#[must_use]
pub fn order() -> Value {
    json!({"order": {
        "customer_public_id": CUSTOMER,
        "product_name": "Laptop",
        "quantity": 2,
        "price": "1200.00",
        "delivery_address": "Cra 7 #12-34, Bogotá",
    }})
}

/// The order in a 201 response.
///
/// # Errors
/// When it is another answer.
pub async fn accepted(answer: Response) -> anyhow::Result<Value> {
    let status = answer.status();
    let body = answer.text().await?;
    ensure!(status == 201, "{status}: {body}");
    Ok(serde_json::from_str(&body)?)
}

/// The problem in a response with this status. Checks media type and members, and that it leaks no
/// driver error.
///
/// # Errors
/// When it is another answer, or no proper problem.
pub async fn problem(answer: Response, status: u16) -> anyhow::Result<Value> {
    let (given, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await?;
    ensure!(given == status, "{given} instead of {status}: {text}");
    let media_type = headers.get("content-type").context("no content type")?;
    ensure!(media_type == "application/problem+json", "{media_type:?}: {text}");
    ensure!(headers.contains_key("x-request-id"), "no request id");
    ensure!(status != 503 || headers.contains_key("retry-after"), "no Retry-After: {text}");
    let problem: Value = serde_json::from_str(&text)?;
    for member in ["type", "title", "detail"] {
        ensure!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {text}");
    }
    ensure!(problem["status"] == status, "{text}");
    for secret in ["SELECT", "INSERT", "UPDATE", "/src/", ".rs", "postgres", "panicked"] {
        ensure!(!text.contains(secret), "shows {secret:?}: {text}");
    }
    Ok(problem)
}

/// The errors that a 422 response lists.
///
/// # Errors
/// When it is another answer.
pub async fn faults(answer: Response) -> anyhow::Result<Vec<String>> {
    let problem = problem(answer, 422).await?;
    Ok(serde_json::from_value(problem["errors"].clone())?)
}

/// The number of rows of a table.
///
/// # Errors
/// When the database does not answer.
pub async fn count(sql: &Client, table: &str) -> anyhow::Result<i64> {
    Ok(sql.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await?.get(0))
}

/// The status of an order.
///
/// # Errors
/// When there is no such order, or the database does not answer.
pub async fn status(sql: &Client, id: &str) -> anyhow::Result<String> {
    let query = "SELECT status FROM orders WHERE id = $1::text::uuid";
    Ok(sql.query_one(query, &[&id]).await?.get(0))
}
