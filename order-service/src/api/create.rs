//! `POST /api/orders`

use poem::http::{HeaderMap, StatusCode};
use service_kit::http::{JsonAnswer, Problem};

use super::calls::{Created, Orders};
use super::order::OrderBody;
use crate::creation::Creation;
use crate::customers::Checked;
use crate::domain::{NewOrder, Order};
use crate::idempotency::{IdempotencyKey, Once};
use crate::joined::Asked;
use crate::metrics;
use crate::orders;
use crate::trace_context::event_headers;

pub(super) async fn create(
    api: &Orders,
    headers: &HeaderMap,
    new: NewOrder,
) -> Result<Created, Problem> {
    let key =
        IdempotencyKey::from_headers(headers).map_err(|fault| Problem::invalid(vec![fault]))?;
    // Before the customer is checked: what was accepted stays accepted, whatever became of the customer.
    // In a box: most orders have no key, and each one's future would have room for it.
    if let Some(key) = &key
        && let Some(once) = Box::pin(orders::find_by_key(&api.database, &new, key)).await?
    {
        return told(once);
    }
    let checked = api.check.pass(new.customer).await?;
    let creation = Creation::begin(|| "order.created".to_owned());
    let asked = Asked { new, headers: event_headers(headers, &creation), key };
    let once = orders::create(&api.database, &api.queue, asked).await;
    match &once {
        Ok(Once::Created(order)) => {
            if checked == Checked::NotNow {
                metrics::unchecked();
            }
            creation.made(order.id);
        }
        Ok(_) => creation.failed("the Idempotency-Key was used before"),
        Err(_) => creation.failed("the order was not written, or not for all that is known"),
    }
    told(once?)
}

fn told(once: Once) -> Result<Created, Problem> {
    match once {
        Once::Created(order) => Ok(created(order)),
        Once::Replayed(order) => {
            metrics::replayed();
            Ok(answer(order, Some(true)))
        }
        Once::OtherBody => Err(Problem::invalid(vec![
            "Idempotency-Key was used before with another body".to_owned(),
        ])),
        Once::OrderGone => Err(Problem::new(
            StatusCode::CONFLICT,
            "The order that this Idempotency-Key made is not there any more.",
        )),
    }
}

fn created(order: Order) -> Created {
    answer(order, None)
}

fn answer(order: Order, replayed: Option<bool>) -> Created {
    let location = format!("/api/orders/{}", order.id.0);
    Created::Order(JsonAnswer(OrderBody::from(order)), location, replayed)
}
