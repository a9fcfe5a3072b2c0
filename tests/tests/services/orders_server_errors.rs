//! Errors with which the server would refuse any order: all orders of the batch are told that it is
//! down, and none is tried by itself. An error over a row concerns one order.

use pipeline_tests::blocked_order::{PATIENT, post_behind_blocked, quantity};
use pipeline_tests::order_api::{OrderApi, count, problem};
use tokio_postgres::Client;

/// Refuses larger orders with the error code in the table, and counts how often.
const REFUSE: &str = "
    CREATE SEQUENCE tries;
    CREATE TABLE fault (code text NOT NULL);
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM nextval('tries');
        RAISE EXCEPTION 'refused' USING ERRCODE = (SELECT code FROM fault);
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON orders
        FOR EACH ROW WHEN (NEW.quantity > 10) EXECUTE FUNCTION refuse()";

/// Orders of one batch.
const ORDERS: i32 = 5;

/// Posts a batch whose statement fails with `code`. Fails unless each order gets this `status`, and
/// returns how often the database has refused.
async fn refused(api: &OrderApi, sql: &mut Client, code: &str, status: u16) -> anyhow::Result<i64> {
    let fault = format!(
        "SELECT setval('tries', 1, false); DELETE FROM fault; INSERT INTO fault VALUES ('{code}')"
    );
    sql.batch_execute(&fault).await?;
    let orders: Vec<_> = (1..=ORDERS).map(|number| (quantity(10 + number), None)).collect();
    for answer in post_behind_blocked(api, sql, &orders).await? {
        problem(answer, status).await?;
    }
    let tries = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tries";
    Ok(sql.query_one(tries, &[]).await?.get(0))
}

#[tokio::test]
async fn an_error_of_the_server_is_blamed_on_no_order() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&PATIENT).await?;
    let mut sql = api.sql().await?;
    sql.batch_execute(REFUSE).await?;
    // Connection exception, read-only transaction, disk full, shutdown, I/O error.
    for code in ["08006", "25006", "53100", "57P01", "58030"] {
        assert_eq!(refused(&api, &mut sql, code, 503).await?, 1, "{code}");
    }
    // Check violation, and an error of a trigger's own: the batch, then each order.
    for code in ["23514", "P0001"] {
        let tries = i64::from(1 + ORDERS);
        assert_eq!(refused(&api, &mut sql, code, 500).await?, tries, "{code}");
    }
    assert_eq!(count(&sql, "orders").await?, 7, "those that blocked the batches");
    Ok(())
}
