//! `PATCH /api/orders/{id}`

use poem::http::{HeaderMap, StatusCode};
use poem_openapi::payload::Json;
use service_kit::http::Problem;
use service_kit::http::json::parse_uuid;

use super::calls::{Changed, Orders};
use super::get::not_found;
use super::order::OrderBody;
use crate::domain::{OrderId, Status};
use crate::orders::{self, Change};
use crate::trace_context::event_headers;

pub(super) async fn change_status(
    api: &Orders,
    headers: &HeaderMap,
    id: &str,
    status: Status,
) -> Result<Changed, Problem> {
    let id = parse_uuid(id).map(OrderId).ok_or_else(not_found)?;
    let trace = event_headers(headers);
    match orders::change_status(&api.database, id, status, &trace).await? {
        Change::Done(order) => {
            metrics::counter!("order_status_changes_total", "status" => status.as_str())
                .increment(1);
            Ok(Changed::Order(Json(OrderBody::from(order))))
        }
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
