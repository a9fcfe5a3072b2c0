//! The operations of the API.

use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::{OpenApi, Tags};
use service_kit::http::json::parse_uuid;
use service_kit::http::page::{Cursor, Limit, Page};
use service_kit::http::parameters::Unparsed;
use service_kit::http::{ErrorResponse, JsonBody, JsonResponse, NoParameters, Parameters};
use uuid::Uuid;

use super::error_responses::{self, not_found};
use super::request::NewCustomer;
use super::response::{CreateResponse, GetResponse, ListResponse};
use super::store::Store;

/// The API and what its operations need.
pub(super) struct CustomersApi {
    pub(super) store: Store,
}

#[derive(Tags)]
enum Tag {
    /// Create customers and read them
    #[oai(rename = "customers")]
    Customers,
}

#[OpenApi(tag = "Tag::Customers")]
impl CustomersApi {
    /// List customers
    ///
    /// Returns a page of customers, ordered by id. The `Link` header with `rel="next"` refers to
    /// the next page; the last page has none.
    #[oai(path = "/api/customers", method = "get", operation_id = "listCustomers")]
    #[expect(unused_variables, reason = "they stand for the parameters in the document")]
    async fn list(
        &self,
        request: &Request,
        mut parameters: Parameters,
        /// The maximum number of customers to return
        limit: Query<Option<Unparsed<Limit>>>,
        /// The position in the list, from the `Link` header of the previous page
        cursor: Query<Option<Unparsed<Cursor>>>,
    ) -> Result<ListResponse, ErrorResponse<error_responses::List>> {
        let page = Page::from_parameters(&mut parameters);
        parameters.finish()?;
        let mut customers = self.store.list(page.after, page.rows_to_read()).await?;
        let link = page.cut(&mut customers, request, |customer| customer.id);
        Ok(ListResponse::Page(JsonResponse(customers), link))
    }

    /// Get a customer
    #[oai(path = "/api/customers/:id", method = "get", operation_id = "getCustomer")]
    async fn get(
        &self,
        _none: NoParameters,
        /// The customer's id
        id: Path<Unparsed<Uuid>>,
    ) -> Result<GetResponse, ErrorResponse<error_responses::Get>> {
        let customer = match parse_uuid(&id.text) {
            Some(id) => self.store.get(id).await?,
            None => None,
        };
        Ok(GetResponse::Customer(JsonResponse(customer.ok_or_else(not_found)?)))
    }

    /// Create a customer
    ///
    /// Its `orders_count` begins at 0.
    #[oai(path = "/api/customers", method = "post", operation_id = "createCustomer")]
    async fn create(
        &self,
        body: JsonBody<NewCustomer>,
    ) -> Result<CreateResponse, ErrorResponse<error_responses::Create>> {
        let customer = self.store.create(body.0).await?;
        let location = format!("/api/customers/{}", customer.id);
        Ok(CreateResponse::Customer(JsonResponse(customer), location))
    }
}
