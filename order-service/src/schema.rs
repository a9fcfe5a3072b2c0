//! The order database's schema: its migrations, embedded.

use service_kit::postgres::Schema;

mod embedded {
    refinery::embed_migrations!("../sql/order/migrations");
}

/// The tables of orders, idempotency keys and the outbox.
pub const SCHEMA: Schema = Schema {
    migrations,
    find: include_str!("../../sql/order/queries/find_schema.sql"),
    command: "order-service migrate",
};

/// The role by which the order service uses the database once the schema is there.
pub const ROLES: &str = include_str!("../../sql/order/roles.sql");

/// The migrations, in order.
#[must_use]
pub fn migrations() -> refinery::Runner {
    embedded::migrations::runner()
}
