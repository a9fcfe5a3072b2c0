//! What only programs use.
//!
//! | file | what it does |
//! |---|---|
//! | `body`, `members` | a change as JSON: the fields of a form |
//! | `values` | whether the command would take the values of the fields |
//! | `document`, `calls`, `call`, `schemas`, `change_schemas` | the OpenAPI document |

pub(super) mod body;
mod call;
mod calls;
mod change_schemas;
mod document;
mod members;
mod schemas;
mod values;

pub use document::openapi_document;
