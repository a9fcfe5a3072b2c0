//! The HTTP API.
//!
//! | module | what it holds |
//! |---|---|
//! | `routes` | the routes: paths, parameters and responses |
//! | `handlers` | what each route does |
//! | `request`, `response` | what clients send and receive |
//! | `error_responses` | the problems with which each route refuses |
//! | `openapi` | the OpenAPI document |

mod error_responses;
mod handlers;
mod openapi;
mod request;
mod response;
mod routes;

pub(crate) use handlers::OrdersApi;
pub use openapi::openapi_document;
pub(crate) use openapi::openapi_service;
