//! A gate before the audit table, at which each statement of a command waits.

use crate::outbox::{Outbox, connect, eventually};
use tokio_postgres::Client;

/// Statements that add audit rows wait until it is opened for so many of them.
const INSTALL: &str = "
    CREATE SEQUENCE arrived MINVALUE 0;
    CREATE TABLE gate (opened_for bigint NOT NULL);
    INSERT INTO gate VALUES (0);
    CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        PERFORM nextval('arrived');
        WHILE (SELECT opened_for FROM gate) < currval('arrived') LOOP
            PERFORM pg_sleep(0.002);
        END LOOP;
        RETURN NULL;
    END $$;
    SELECT setval('arrived', 0);
    CREATE TRIGGER wait_at_gate BEFORE INSERT ON outbox_audit FOR EACH STATEMENT EXECUTE FUNCTION wait_at_gate()";

/// See the [module](self).
#[derive(Debug)]
pub struct AuditGate {
    sql: Client,
}

impl AuditGate {
    /// Puts the gate up. It is closed.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn new(outbox: &Outbox) -> anyhow::Result<Self> {
        let sql = connect(&outbox.database.url).await?;
        sql.batch_execute(INSTALL).await?;
        Ok(Self { sql })
    }

    /// Opens the gate for the first `statements`, waits until one more stands at it, and returns the
    /// number of audit rows that are committed by then.
    ///
    /// # Errors
    /// When that takes too long, or the database refuses.
    pub async fn let_pass(&self, statements: i64) -> anyhow::Result<i64> {
        self.open(statements).await?;
        eventually("a statement stands at the gate", async || {
            let arrived = self.sql.query_one("SELECT last_value FROM arrived", &[]).await?;
            Ok(arrived.get::<_, i64>(0) > statements)
        })
        .await?;
        Ok(self.sql.query_one("SELECT count(*) FROM outbox_audit", &[]).await?.get(0))
    }

    /// Opens the gate for the first `statements`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn open(&self, statements: i64) -> anyhow::Result<()> {
        self.sql.execute("UPDATE gate SET opened_for = $1", &[&statements]).await?;
        Ok(())
    }
}
