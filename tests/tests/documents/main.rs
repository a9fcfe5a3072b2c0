//! What the documents say is what the code does.

mod asyncapi;
mod console_openapi;
mod guarantees;
mod orders_openapi;
mod outbox_schema;
mod settings_table;
