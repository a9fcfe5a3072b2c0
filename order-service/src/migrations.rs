//! The order database's migrations, embedded.

mod embedded {
    refinery::embed_migrations!("../sql/order/migrations");
}

/// The migrations, in order.
#[must_use]
pub fn runner() -> refinery::Runner {
    embedded::migrations::runner()
}
