//! `PATCH /api/orders/{id}`

use poem::http::{HeaderMap, StatusCode};
use service_kit::http::json::parse_uuid;
use service_kit::http::{JsonAnswer, Problem};

use super::get::not_found;
use super::response::OrderBody;
use super::routes::{Changed, Orders};
use crate::creation::Creation;
use crate::domain::{OrderId, Status};
use crate::event_trace::event_headers;
use crate::orders::{self, Change};

pub(super) async fn change_status(
    api: &Orders,
    headers: &HeaderMap,
    id: &str,
    status: Status,
) -> Result<Changed, Problem> {
    let id = parse_uuid(id).map(OrderId).ok_or_else(not_found)?;
    let creation = Creation::begin(|| format!("order.{}", status.as_str()));
    let trace = event_headers(headers, &creation);
    let change = orders::change_status(&api.database, id, status, trace).await;
    match &change {
        Ok(Change::Done(order)) => creation.made(order.id),
        Ok(_) => creation.failed("the order can't go there"),
        Err(_) => creation.failed("the change was not written, or not for all that is known"),
    }
    match change? {
        Change::Done(order) => Ok(Changed::Order(JsonAnswer(OrderBody::from(order)))),
        Change::NotFound => Err(not_found()),
        Change::NotFrom(from) => Err(conflict(from, status)),
    }
}

fn conflict(from: Status, to: Status) -> Problem {
    let next: Vec<&str> = from.next().iter().map(|next| next.as_str()).collect();
    let allowed = if next.is_empty() { "nothing".to_owned() } else { next.join(" or ") };
    Problem::new(
        StatusCode::CONFLICT,
        format!("The order is {from} and can't become {to}; from here it can become {allowed}."),
    )
}
