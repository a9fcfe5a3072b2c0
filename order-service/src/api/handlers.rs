//! What each route does.

use std::time::Instant;

use poem::Request;
use poem::http::{HeaderMap, StatusCode};
use service_kit::http::json::parse_uuid;
use service_kit::http::page::Page;
use service_kit::http::{JsonResponse, Parameters, Problem, time_since_headers};
use service_kit::postgres::Database;

use super::response::{
    ChangeStatusResponse, CreateResponse, CustomerBody, GetResponse, ListResponse, OrderBody,
    OrderWithCustomer,
};
use crate::batched_reads::OrderReader;
use crate::customers::{Checked, CustomerCheck, CustomerDirectory, Lookup};
use crate::domain::{CustomerId, IdempotencyKey, NewOrder, Order, OrderId, OrderToWrite, Status};
use crate::event_trace::EventTrace;
use crate::group_commit::OrderQueue;
use crate::idempotency::CreateOutcome;
use crate::metrics;
use crate::orders::{self, StatusChange};
use crate::phases::Phase;
use crate::queries::Filter;

/// The API, with what its operations need.
#[derive(Debug, Clone)]
pub(crate) struct OrdersApi {
    pub(crate) database: Database,
    pub(crate) queue: OrderQueue,
    pub(crate) reader: OrderReader,
    pub(crate) customer_check: CustomerCheck,
    pub(crate) directory: CustomerDirectory,
}

/// `POST /api/orders`
pub(super) async fn create(
    api: &OrdersApi,
    request: &Request,
    new: NewOrder,
) -> Result<CreateResponse, Problem> {
    let headers = request.headers();
    if let Some(took) = time_since_headers(request) {
        Phase::Parse.record(took);
    }
    let started = Instant::now();
    let key = IdempotencyKey::from_headers(headers).map_err(|fault| Problem::invalid([fault]))?;
    // Before the customer is checked: what was accepted stays accepted, whatever became of the
    // customer. Boxed: most orders have no key, and the future of each would have room for it.
    if let Some(key) = &key
        && let Some(outcome) = Box::pin(orders::find_by_key(&api.database, &new, key)).await?
    {
        return respond(outcome);
    }
    let checked = api.customer_check.check(new.customer).await;
    Phase::Check.record(started.elapsed());
    let checked = checked?;
    let trace = EventTrace::start(|| "order.created".to_owned());
    let order = OrderToWrite { new, headers: trace.headers(headers), key };
    let outcome = orders::create(&api.database, &api.queue, order).await;
    match &outcome {
        Ok(CreateOutcome::Created(order)) => {
            if checked == Checked::Unchecked {
                metrics::unchecked();
            }
            trace.committed(order.id);
        }
        Ok(_) => trace.failed("the Idempotency-Key was used before"),
        Err(_) => trace.failed("the order was not written, or may not have been"),
    }
    respond(outcome?)
}

fn respond(outcome: CreateOutcome) -> Result<CreateResponse, Problem> {
    match outcome {
        CreateOutcome::Created(order) => Ok(created(order, None)),
        CreateOutcome::Replayed(order) => {
            metrics::replayed();
            Ok(created(order, Some(true)))
        }
        CreateOutcome::KeyReused => {
            Err(Problem::invalid(["Idempotency-Key was used before with another body"]))
        }
        CreateOutcome::OrderMissing => Err(order_missing()),
    }
}

pub(super) fn order_missing() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "The order created with this Idempotency-Key no longer exists.",
    )
}

fn created(order: Order, replayed: Option<bool>) -> CreateResponse {
    let location = format!("/api/orders/{}", order.id.0);
    CreateResponse::Order(JsonResponse(OrderBody::from(order)), location, replayed)
}

/// `GET /api/orders`
pub(super) async fn list(
    api: &OrdersApi,
    request: &Request,
    mut parameters: Parameters,
) -> Result<ListResponse, Problem> {
    let page = Page::from_parameters(&mut parameters);
    let filter = Filter {
        customer: parameters.optional("customer_public_id", |text| {
            let id = parse_uuid(text).map(CustomerId);
            id.ok_or_else(|| "must be a UUID".to_owned())
        }),
        status: parameters.optional("status", str::parse::<Status>),
    };
    parameters.finish()?;
    let mut found = orders::list(&api.database, filter, page.after, page.rows_to_read()).await?;
    let link = page.cut(&mut found, request, |order| order.id.0);
    let bodies = found.into_iter().map(OrderBody::from).collect();
    Ok(ListResponse::Page(JsonResponse(bodies), link))
}

/// `GET /api/orders/{id}`
pub(super) async fn get(api: &OrdersApi, id: &str) -> Result<GetResponse, Problem> {
    let id = parse_uuid(id).map(OrderId).ok_or_else(not_found)?;
    let order = api.reader.find(id).await?;
    let order = order.ok_or_else(not_found)?;
    let customer = order.ordered.customer;
    let mut body = OrderBody::from(order);
    if let Lookup::Known(known) = api.directory.find(customer).await {
        body.customer = Some(CustomerBody::new(customer, known));
    }
    Ok(GetResponse::Order(JsonResponse(OrderWithCustomer(body))))
}

/// Also for an id that is not a UUID.
pub(super) fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "No such order.")
}

/// `PATCH /api/orders/{id}`
pub(super) async fn change_status(
    api: &OrdersApi,
    headers: &HeaderMap,
    id: &str,
    status: Status,
) -> Result<ChangeStatusResponse, Problem> {
    let id = parse_uuid(id).map(OrderId).ok_or_else(not_found)?;
    let trace = EventTrace::start(|| format!("order.{}", status.as_str()));
    let change = orders::change_status(&api.database, id, status, trace.headers(headers)).await;
    match &change {
        Ok(StatusChange::Done(order)) => trace.committed(order.id),
        Ok(_) => trace.failed("the status change is not allowed"),
        Err(_) => trace.failed("the change was not written, or may not have been"),
    }
    match change? {
        StatusChange::Done(order) => {
            Ok(ChangeStatusResponse::Order(JsonResponse(OrderBody::from(order))))
        }
        StatusChange::NotFound => Err(not_found()),
        StatusChange::NotAllowedFrom(from) => Err(not_allowed(from, status)),
    }
}

pub(super) fn not_allowed(from: Status, to: Status) -> Problem {
    let next: Vec<&str> = from.next().iter().map(|next| next.as_str()).collect();
    let allowed = if next.is_empty() { "nothing else".to_owned() } else { next.join(" or ") };
    Problem::new(
        StatusCode::CONFLICT,
        format!("The order is {from} and can't become {to}; it can become {allowed}."),
    )
}
