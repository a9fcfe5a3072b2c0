//! The limit of an HTTP service: a program with the same framework that parses and validates the
//! same requests and sends responses of the same length, without a database. The suite starts it as
//! a separate process.

use anyhow::Context as _;
use clap::Args;
use poem::http::StatusCode;
use poem::listener::{Acceptor as _, Listener as _, TcpListener};
use poem::web::{Json, Path};
use poem::{IntoResponse as _, Response, Route, Server, get, handler, post};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// When an order was made, as far as anyone is told.
const THEN: &str = "2026-02-01T22:25:31.123456Z";

#[derive(Debug, Args)]
pub(crate) struct NoDatabase {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateOrder {
    order: NewOrder,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    customer_public_id: Uuid,
    product_name: String,
    quantity: i32,
    price: String,
    delivery_address: String,
}

#[derive(Serialize)]
struct Order {
    id: Uuid,
    customer_public_id: Uuid,
    product_name: String,
    quantity: i32,
    price: String,
    delivery_address: String,
    status: &'static str,
    created_at: &'static str,
    updated_at: &'static str,
}

impl NoDatabase {
    /// Serves until it is killed.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await?;
        let address = acceptor.local_addr();
        let address = address.first().and_then(|address| address.as_socket_addr());
        // The same log line as the services', which the suite waits for.
        eprintln!("HTTP port is open address={}", address.context("no address")?);
        let app = Route::new().at("/api/orders", post(create)).at("/api/orders/:id", get(one));
        Server::new_with_acceptor(acceptor).run(app).await?;
        Ok(())
    }
}

#[handler]
fn create(Json(CreateOrder { order }): Json<CreateOrder>) -> Response {
    if !valid(&order) {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    let order = Order {
        id: Uuid::now_v7(),
        customer_public_id: order.customer_public_id,
        product_name: order.product_name,
        quantity: order.quantity,
        price: order.price,
        delivery_address: order.delivery_address,
        status: "created",
        created_at: THEN,
        updated_at: THEN,
    };
    let location = format!("/api/orders/{}", order.id);
    Json(order).with_header("location", location).with_status(StatusCode::CREATED).into_response()
}

#[handler]
fn one(Path(id): Path<Uuid>) -> Json<Order> {
    Json(Order {
        id,
        customer_public_id: id,
        product_name: "a bicycle bell".to_owned(),
        quantity: 1,
        price: "12.50".to_owned(),
        delivery_address: "Cra 7 #12-34, Bogot\u{e1}".to_owned(),
        status: "created",
        created_at: THEN,
        updated_at: THEN,
    })
}

/// The order service's validation.
fn valid(order: &NewOrder) -> bool {
    let line = |text: &str, most: usize| {
        !text.trim().is_empty()
            && text.chars().count() <= most
            && !text.chars().any(char::is_control)
    };
    let (whole, cents) = order.price.split_once('.').unwrap_or((&order.price, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    line(&order.product_name, 255)
        && line(&order.delivery_address, 1000)
        && (1..=1_000_000).contains(&order.quantity)
        && (1..=8).contains(&whole.len())
        && cents.len() <= 2
        && digits(whole)
        && digits(cents)
}

#[cfg(test)]
mod tests {
    use super::{NewOrder, Uuid, valid};

    #[test]
    fn an_order_is_checked() {
        let order = |price: &str, quantity, product_name: &str| NewOrder {
            customer_public_id: Uuid::nil(),
            product_name: product_name.to_owned(),
            quantity,
            price: price.to_owned(),
            delivery_address: "Cra 7".to_owned(),
        };
        assert!(valid(&order("12.50", 1, "a bell")));
        assert!(valid(&order("12", 1, "a bell")));
        for (price, quantity, name) in
            [("1.005", 1, "a"), ("-1", 1, "a"), ("", 1, "a"), ("1", 0, "a"), ("1", 1, " ")]
        {
            assert!(!valid(&order(price, quantity, name)), "{price} {quantity} {name:?}");
        }
    }
}
