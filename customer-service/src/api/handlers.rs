//! The calls of the API.

use poem::Request;
use poem::http::StatusCode;
use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, OpenApi};
use service_kit::http::json::parse_uuid;
use service_kit::http::page::{Cursor, Limit, Page};
use service_kit::http::parameters::Unparsed;
use service_kit::http::{JsonAnswer, JsonBody, NoParameters, Parameters, Problem, Refused};
use uuid::Uuid;

use super::customer::{Customer, NewCustomer};
use super::responses;
use super::store::Store;

/// The customers, and what can be done with them.
pub(super) struct CustomersApi {
    pub(super) store: Store,
}

#[derive(ApiResponse)]
enum Listed {
    /// A page of customers
    #[oai(status = 200)]
    Page(
        JsonAnswer<Vec<Customer>>,
        /// Where the next page is, when there is one: `<…>; rel="next"`
        #[oai(header = "Link")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
enum Found {
    /// The customer
    #[oai(status = 200)]
    Customer(JsonAnswer<Customer>),
}

#[derive(ApiResponse)]
enum Created {
    /// The customer that was made
    #[oai(status = 201)]
    Customer(
        JsonAnswer<Customer>,
        /// Where the customer is
        #[oai(header = "Location")]
        String,
    ),
}

#[OpenApi]
impl CustomersApi {
    /// Customers in the order of their ids
    #[oai(path = "/api/customers", method = "get", operation_id = "listCustomers")]
    #[expect(unused_variables, reason = "they stand for the parameters in the document")]
    async fn list(
        &self,
        request: &Request,
        mut parameters: Parameters,
        /// How many customers at the most
        limit: Query<Option<Unparsed<Limit>>>,
        /// Which page; taken from the Link of the page before
        cursor: Query<Option<Unparsed<Cursor>>>,
    ) -> Result<Listed, Refused<responses::List>> {
        let page = Page::from_parameters(&mut parameters);
        parameters.finish()?;
        let mut customers = self.store.list(page.after, page.rows_to_read()).await?;
        let link = page.cut(&mut customers, request, |customer| customer.id);
        Ok(Listed::Page(JsonAnswer(customers), link))
    }

    /// One customer
    #[oai(path = "/api/customers/:id", method = "get", operation_id = "getCustomer")]
    async fn get(
        &self,
        _none: NoParameters,
        /// The customer's id
        id: Path<Unparsed<Uuid>>,
    ) -> Result<Found, Refused<responses::Get>> {
        let customer = match parse_uuid(&id.text) {
            Some(id) => self.store.get(id).await?,
            None => None,
        };
        let unknown = || {
            Problem::new(StatusCode::NOT_FOUND, "There is no such customer.")
                .of_type(responses::CUSTOMER_NOT_FOUND)
        };
        Ok(Found::Customer(JsonAnswer(customer.ok_or_else(unknown)?)))
    }

    /// Make a customer
    #[oai(path = "/api/customers", method = "post", operation_id = "createCustomer")]
    async fn create(
        &self,
        body: JsonBody<NewCustomer>,
    ) -> Result<Created, Refused<responses::Create>> {
        let customer = self.store.create(body.0).await?;
        let location = format!("/api/customers/{}", customer.id);
        Ok(Created::Customer(JsonAnswer(customer), location))
    }
}
