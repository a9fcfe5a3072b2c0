//! What only programs use.
//!
//! | file | what it does |
//! |---|---|
//! | `body`, `members` | a change as JSON: the fields of a form |
//! | `document`, `calls`, `call`, `schemas`, `change_schemas` | the OpenAPI document |

pub(super) mod body;
mod call;
mod calls;
mod change_schemas;
mod document;
mod members;
mod schemas;

pub use document::openapi_document;
