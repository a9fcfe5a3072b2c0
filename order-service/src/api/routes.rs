//! The routes of the API: paths, parameters and responses, as the OpenAPI document shows them.

use poem::Request;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{OpenApi, Tags};
use service_kit::http::page::{Cursor, Limit};
use service_kit::http::parameters::Unparsed;
use service_kit::http::{JsonBody, NoParameters, Parameters, Refused};
use service_kit::postgres::Database;
use uuid::Uuid;

use super::request::{ChangeStatus, IdempotencyKeyText};
use super::response::{ChangeStatusResponse, CreateResponse, GetResponse, ListResponse};
use super::{error_responses, handlers};
use crate::batched_reads::OrderReader;
use crate::customers::{CustomerCheck, CustomerDirectory};
use crate::domain::{NewOrder, Status};
use crate::group_commit::OrderQueue;

/// What the operations work with.
#[derive(Debug, Clone)]
pub(crate) struct OrdersApi {
    pub(crate) database: Database,
    pub(crate) queue: OrderQueue,
    pub(crate) reader: OrderReader,
    pub(crate) customer_check: CustomerCheck,
    pub(crate) directory: CustomerDirectory,
}

#[derive(Tags)]
enum Tag {
    /// Accept orders, look at them, move them on
    Orders,
}

#[OpenApi(tag = "Tag::Orders")]
impl OrdersApi {
    /// Accept an order
    ///
    /// The order and its event `order.created` are written in one transaction. Send an `Idempotency-Key` to be able to
    /// repeat the request safely, above all after a 503 or a lost connection, which do not tell whether the order was
    /// accepted: for 24 hours the same key with the same body gives the first answer again and makes no second
    /// order, also when both arrive at once; with another body it gives 422. Only accepted orders are remembered.
    #[oai(path = "/api/orders", method = "post", operation_id = "createOrder")]
    #[expect(unused_variables, reason = "it stands for the header in the document")]
    async fn create(
        &self,
        request: &Request,
        /// Your name for this request, to be sent again with each repetition of it: 1 to 255 visible ASCII characters
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<Unparsed<IdempotencyKeyText>>>,
        body: JsonBody<NewOrder>,
    ) -> Result<CreateResponse, Refused<error_responses::Create>> {
        Ok(handlers::create(self, request.headers(), body.0).await?)
    }

    /// List orders, newest first
    ///
    /// Follow the `Link` header with `rel="next"` until there is none.
    #[oai(path = "/api/orders", method = "get", operation_id = "listOrders")]
    #[expect(unused_variables, reason = "they stand for the parameters in the document")]
    async fn list(
        &self,
        request: &Request,
        parameters: Parameters,
        /// How many orders at the most
        limit: Query<Option<Unparsed<Limit>>>,
        /// Which page: taken from the Link of the page before
        cursor: Query<Option<Unparsed<Cursor>>>,
        /// Only orders of this customer
        customer_public_id: Query<Option<Unparsed<Uuid>>>,
        /// Only orders in this status
        status: Query<Option<Unparsed<Status>>>,
    ) -> Result<ListResponse, Refused<error_responses::List>> {
        Ok(handlers::list(self, request, parameters).await?)
    }

    /// Look at an order
    #[oai(path = "/api/orders/:id", method = "get", operation_id = "getOrder")]
    async fn get(
        &self,
        _none: NoParameters,
        /// The order's id
        id: Path<Unparsed<Uuid>>,
    ) -> Result<GetResponse, Refused<error_responses::Get>> {
        Ok(handlers::get(self, &id.text).await?)
    }

    /// Move an order on
    ///
    /// created → processing → shipped → delivered; created or processing → cancelled. The change and its event
    /// `order.<status>` are written in one transaction.
    #[oai(path = "/api/orders/:id", method = "patch", operation_id = "changeOrderStatus")]
    async fn change_status(
        &self,
        request: &Request,
        /// The order's id
        id: Path<Unparsed<Uuid>>,
        body: JsonBody<ChangeStatus>,
    ) -> Result<ChangeStatusResponse, Refused<error_responses::ChangeStatus>> {
        Ok(handlers::change_status(self, request.headers(), &id.text, body.0.status).await?)
    }
}
