//! The customer database's schema: its migrations, embedded.

use service_kit::postgres::Schema;

mod embedded {
    refinery::embed_migrations!("../sql/customer/migrations");
}

/// The tables of customers and of the events that were counted.
pub const SCHEMA: Schema = Schema {
    migrations,
    find: include_str!("../../sql/customer/queries/find_schema.sql"),
    command: "customer-service migrate",
};

/// The roles by which API and consumer use the database once the schema is there.
pub const ROLES: &str = include_str!("../../sql/customer/roles.sql");

/// The migrations, in order.
#[must_use]
pub fn migrations() -> refinery::Runner {
    embedded::migrations::runner()
}
