//! The schema of the order database.

use service_kit::postgres::Schema;

mod embedded {
    refinery::embed_migrations!("../sql/order/migrations");
}

/// The schema: orders, idempotency keys and the outbox.
pub const SCHEMA: Schema = Schema {
    migrations,
    find: include_str!("../../sql/order/queries/find_schema.sql"),
    command: "order-service migrate",
};

/// SQL that creates the role `order_service`, with the privileges that serving needs.
pub const ROLES: &str = include_str!("../../sql/order/roles.sql");

/// The migrations, in order.
#[must_use]
pub fn migrations() -> refinery::Runner {
    embedded::migrations::runner()
}
