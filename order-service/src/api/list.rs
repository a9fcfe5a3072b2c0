//! `GET /api/orders`

use poem::Request;
use service_kit::http::json::parse_uuid;
use service_kit::http::page::Page;
use service_kit::http::{JsonAnswer, Parameters, Problem};

use super::response::OrderBody;
use super::routes::{Listed, Orders};
use crate::domain::{CustomerId, Status};
use crate::orders;
use crate::queries::Filter;

pub(super) async fn list(
    api: &Orders,
    request: &Request,
    mut parameters: Parameters,
) -> Result<Listed, Problem> {
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
    Ok(Listed::Page(JsonAnswer(bodies), link))
}
