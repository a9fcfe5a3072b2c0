//! The role by which the relay uses the order database: it may do what its work takes and nothing else.

use anyhow::Context;
use tokio_postgres::NoTls;
use url::Url;

use crate::plan::Addresses;
use crate::state::own_postgres;

pub(crate) const RELAY_ROLE: &str = "outbox_relay";

/// Makes the role, and lets it in with the password that is in the relay's URL. The order service has made the outbox.
pub(crate) async fn make(at: &Addresses) -> anyhow::Result<()> {
    let (client, connection) = tokio_postgres::connect(&at.order_database, NoTls)
        .await
        .context("cannot connect to the order database")?;
    // Ends when the client is dropped; an error shows up in the client's next call.
    tokio::spawn(connection);
    let roles = client.batch_execute(include_str!("../../sql/roles.sql")).await;
    roles.context("cannot make the roles of sql/roles.sql")?;
    let url = Url::parse(&at.relay_database)?;
    let password = url.password().context("the relay's URL has a password")?;
    own_postgres()?.access().set_password(RELAY_ROLE, password).await
}
