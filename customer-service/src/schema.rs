//! The customer database's schema: its migrations, embedded.

use service_kit::postgres::Schema;

mod embedded {
    refinery::embed_migrations!("../sql/customer/migrations");
}

/// The schema: customers, and the ids of counted events.
pub const SCHEMA: Schema = Schema {
    migrations,
    find: include_str!("../../sql/customer/queries/find_schema.sql"),
    command: "customer-service migrate",
};

/// SQL that creates the roles of the API and the consumer.
pub const ROLES: &str = include_str!("../../sql/customer/roles.sql");

/// The migrations, in order.
#[must_use]
pub fn migrations() -> refinery::Runner {
    embedded::migrations::runner()
}
