//! The least-privilege roles with which the services use the stack's own databases.

use anyhow::Context;
use tokio_postgres::NoTls;
use url::Url;

use crate::plan::Addresses;
use crate::servers::ExternalServers;
use crate::services;
use crate::state::{State, own_postgres};

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
            let console = given.makes_console_roles().then_some(logins.outbox_console.as_str());
            let roles: Vec<&str> =
                [logins.outbox_relay.as_str()].into_iter().chain(console).collect();
            make(owner, include_str!("../../sql/roles.sql"), &roles).await?;
        }
    }
    if given.owns_customer_database() {
        let owner = &at.customer_database;
        services::migrate(state, "customer-service", owner).await?;
        let roles = [logins.customer_api.as_str(), &logins.customer_consumer];
        make(owner, include_str!("../../sql/customer/roles.sql"), &roles).await?;
    }
    if state.desk {
        prepare_desk(given, at).await?;
    }
    Ok(())
}

/// Adds the tables of the desk to the customer database, unless they are there, and the roles of
/// the collector and the console to the stack's own.
async fn prepare_desk(given: &ExternalServers, at: &Addresses) -> anyhow::Result<()> {
    let owner = &at.customer_database;
    let (client, connection) =
        tokio_postgres::connect(owner, NoTls).await.context("cannot connect to the database")?;
    // Ends when the client is dropped.
    tokio::spawn(connection);
    let there = client.query_one("SELECT to_regclass('dead_letters') IS NOT NULL", &[]).await?;
    if !there.try_get::<_, bool>(0)? {
        let schema = include_str!("../../sql/dead-letters/schema.sql");
        client.batch_execute(schema).await.context("cannot make the tables of the desk")?;
    }
    if given.owns_customer_database() {
        let sql = include_str!("../../sql/dead-letters/roles.sql");
        let logins = &at.logins;
        let console = given.makes_console_roles().then_some(logins.dead_letters_console.as_str());
        let roles: Vec<&str> =
            [logins.dead_letters_collector.as_str()].into_iter().chain(console).collect();
        make(owner, sql, &roles).await?;
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
