//! The least-privilege roles with which the services use the stack's own databases.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio_postgres::NoTls;
use url::Url;

use crate::plan::Addresses;
use crate::servers::ExternalServers;
use crate::services;
use crate::state::{State, own_postgres};

/// The databases' URLs for the services. For an external database it is the given URL, as its roles
/// are up to its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logins {
    pub(crate) order_service: String,
    pub(crate) outbox_relay: String,
    pub(crate) customer_api: String,
    pub(crate) customer_consumer: String,
}

impl Logins {
    /// All services as the owners, `orders` and `customers`.
    pub(crate) fn of_owners(orders: &str, customers: &str) -> Self {
        Self {
            order_service: orders.to_owned(),
            outbox_relay: orders.to_owned(),
            customer_api: customers.to_owned(),
            customer_consumer: customers.to_owned(),
        }
    }
}

/// Migrates the stack's own databases as their owner, creates the roles, and sets the passwords in
/// their URLs.
pub(crate) async fn prepare(
    state: &State,
    given: &ExternalServers,
    at: &Addresses,
) -> anyhow::Result<()> {
    let logins = &at.logins;
    if given.owns_order_database() {
        let owner = &at.order_database;
        services::migrate(state, "order-service", owner).await?;
        make(owner, include_str!("../../sql/order/roles.sql"), &[&logins.order_service]).await?;
        if given.makes_relay_role() {
            make(owner, include_str!("../../sql/roles.sql"), &[&logins.outbox_relay]).await?;
        }
    }
    if given.owns_customer_database() {
        let owner = &at.customer_database;
        services::migrate(state, "customer-service", owner).await?;
        let roles = [logins.customer_api.as_str(), &logins.customer_consumer];
        make(owner, include_str!("../../sql/customer/roles.sql"), &roles).await?;
    }
    Ok(())
}

async fn make(owner: &str, sql: &str, logins: &[&str]) -> anyhow::Result<()> {
    let (client, connection) =
        tokio_postgres::connect(owner, NoTls).await.context("cannot connect to the database")?;
    // Ends when the client is dropped; an error shows up in the client's next call.
    tokio::spawn(connection);
    client.batch_execute(sql).await.context("cannot make the services' roles")?;
    for login in logins {
        let url = Url::parse(login)?;
        let password = url.password().context("the URL of a role has a password")?;
        own_postgres()?.access().set_password(url.username(), password).await?;
    }
    Ok(())
}
