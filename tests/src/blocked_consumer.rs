//! Blocks a consumer in the middle of a transaction.

use tokio_postgres::Client;
use uuid::Uuid;

use crate::consumer_fixture::until;

/// Where a transaction blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockAt {
    /// While it adds to a customer's count.
    Count,
    /// While it commits.
    Commit,
}

/// Blocks each transaction that counts an event of one of `customers`, until [`unblock`].
///
/// # Errors
/// When the database refuses.
pub async fn block_transactions(
    sql: &Client,
    moment: BlockAt,
    customers: &[Uuid],
) -> anyhow::Result<()> {
    let trigger = match moment {
        BlockAt::Count => "CREATE OR REPLACE TRIGGER hold_up BEFORE UPDATE",
        BlockAt::Commit => "CREATE CONSTRAINT TRIGGER hold_up AFTER UPDATE",
    };
    let deferred = match moment {
        BlockAt::Count => "",
        BlockAt::Commit => "DEFERRABLE INITIALLY DEFERRED",
    };
    let install = format!(
        "CREATE TABLE IF NOT EXISTS held_up (customer_id uuid);
         CREATE OR REPLACE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             WHILE EXISTS (SELECT FROM held_up WHERE customer_id = new.id) LOOP PERFORM pg_sleep(0.005); END LOOP;
             RETURN new;
         END $$;
         {trigger} ON customers {deferred} FOR EACH ROW EXECUTE FUNCTION hold_up()"
    );
    sql.batch_execute(&install).await?;
    sql.execute("INSERT INTO held_up SELECT unnest($1::uuid[])", &[&customers]).await?;
    Ok(())
}

/// Waits until a consumer is blocked.
///
/// # Errors
/// When none is in time.
pub async fn until_blocked(sql: &Client) -> anyhow::Result<()> {
    let held_up = "SELECT FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name = 'customer-service consumer' AND wait_event = 'PgSleep'";
    until(async || Ok(sql.query(held_up, &[]).await?.pop().map(drop))).await
}

/// Releases all blocked transactions.
///
/// # Errors
/// When the database refuses.
pub async fn unblock(sql: &Client) -> anyhow::Result<()> {
    Ok(sql.batch_execute("DELETE FROM held_up").await?)
}
