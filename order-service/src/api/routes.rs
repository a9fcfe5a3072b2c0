//! The routes of the API: paths, parameters and responses, as the OpenAPI document shows them.

use poem::Request;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{OpenApi, Tags};
use service_kit::http::page::{Cursor, Limit};
use service_kit::http::parameters::Unparsed;
use service_kit::http::{ErrorResponse, JsonBody, NoParameters, Parameters};
use uuid::Uuid;

use super::error_responses;
use super::handlers::{self, OrdersApi};
use super::request::{ChangeStatus, IdempotencyKeyText};
use super::response::{ChangeStatusResponse, CreateResponse, GetResponse, ListResponse};
use crate::domain::{NewOrder, Status};

#[derive(Tags)]
enum Tag {
    /// Create orders, read them, and update their status
    #[oai(rename = "orders")]
    Orders,
}

#[OpenApi(tag = "Tag::Orders")]
impl OrdersApi {
    /// Create an order
    ///
    /// Creates an order with status `created`, and its event `order.created`.
    ///
    /// Send an `Idempotency-Key` to repeat the request safely, for example after a 503 or a lost
    /// connection, when the order may have been created. For 24 hours, the same key with the same
    /// body gets the first response again and creates no second order, even if both requests are
    /// concurrent; with a different body it gets 422. Only created orders are remembered.
    #[oai(path = "/api/orders", method = "post", operation_id = "createOrder")]
    #[expect(unused_variables, reason = "it stands for the header in the document")]
    async fn create(
        &self,
        request: &Request,
        /// A unique key for this request, to be sent again when it is repeated: 1 to 255 visible
        /// ASCII characters
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<Unparsed<IdempotencyKeyText>>>,
        body: JsonBody<NewOrder>,
    ) -> Result<CreateResponse, ErrorResponse<error_responses::Create>> {
        Ok(handlers::create(self, request, body.0).await?)
    }

    /// List orders
    ///
    /// Returns a page of orders, newest first. The `Link` header with `rel="next"` refers to the
    /// next page; the last page has none.
    #[oai(path = "/api/orders", method = "get", operation_id = "listOrders")]
    #[expect(unused_variables, reason = "they stand for the parameters in the document")]
    async fn list(
        &self,
        request: &Request,
        parameters: Parameters,
        /// The maximum number of orders to return
        limit: Query<Option<Unparsed<Limit>>>,
        /// The position in the list, from the `Link` header of the previous page
        cursor: Query<Option<Unparsed<Cursor>>>,
        /// Return only orders of this customer
        customer_public_id: Query<Option<Unparsed<Uuid>>>,
        /// Return only orders with this status
        status: Query<Option<Unparsed<Status>>>,
    ) -> Result<ListResponse, ErrorResponse<error_responses::List>> {
        Ok(handlers::list(self, request, parameters).await?)
    }

    /// Get an order
    ///
    /// Includes the customer, unless it is unknown or the customer service does not answer in time.
    #[oai(path = "/api/orders/:id", method = "get", operation_id = "getOrder")]
    async fn get(
        &self,
        _none: NoParameters,
        /// The order's id
        id: Path<Unparsed<Uuid>>,
    ) -> Result<GetResponse, ErrorResponse<error_responses::Get>> {
        Ok(handlers::get(self, &id.text).await?)
    }

    /// Update an order's status
    ///
    /// Allowed are `created` → `processing` → `shipped` → `delivered`, and `cancelled` from
    /// `created` or `processing`. Creates an event `order.<status>`. An order that has the status
    /// already is returned as it is, without a new event.
    #[oai(path = "/api/orders/:id", method = "patch", operation_id = "changeOrderStatus")]
    async fn change_status(
        &self,
        request: &Request,
        /// The order's id
        id: Path<Unparsed<Uuid>>,
        body: JsonBody<ChangeStatus>,
    ) -> Result<ChangeStatusResponse, ErrorResponse<error_responses::ChangeStatus>> {
        Ok(handlers::change_status(self, request.headers(), &id.text, body.0.status).await?)
    }
}
