//! `GET /api/orders/{id}`

use poem::http::StatusCode;
use service_kit::http::json::parse_uuid;
use service_kit::http::{JsonAnswer, Problem};

use super::response::{CustomerBody, OrderBody};
use super::routes::{Found, Orders};
use crate::customers::Lookup;
use crate::domain::OrderId;

pub(super) async fn get(api: &Orders, id: &str) -> Result<Found, Problem> {
    let id = parse_uuid(id).map(OrderId).ok_or_else(not_found)?;
    let order = api.reads.find(id).await?;
    let order = order.ok_or_else(not_found)?;
    let customer = order.ordered.customer;
    let mut body = OrderBody::from(order);
    if let Lookup::Known(known) = api.directory.find(customer).await {
        body.customer = Some(CustomerBody::new(customer, known));
    }
    Ok(Found::Order(JsonAnswer(body)))
}

/// For an id that is no UUID too: there is no such order.
pub(super) fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "There is no such order.")
}
