//! Databases in another encoding than UTF-8: each text column of the outbox with a letter that is
//! one byte there. Where the encoding is known, the message has that letter; in `SQL_ASCII`, which
//! has no encoding, the bytes are no text. The events of other aggregates are published.

use anyhow::ensure;
use pipeline_tests::outbox::{Outbox, aggregate_id, connect, eventually};

/// Each column with an expression that has the letter of the byte 0xE9.
const COLUMNS: [(&str, &str); 7] = [
    ("aggregate_type", "'order' || chr(233)"),
    ("aggregate_id", "'concerned' || chr(233)"),
    ("event_type", "'order.' || chr(233)"),
    ("payload", "jsonb_build_object('as', chr(233))"),
    ("headers", "jsonb_build_object('as', chr(233))"),
    ("last_error", "chr(233)"),
    ("error_kind", "chr(233)"),
];

async fn outbox_in(encoding: &str) -> anyhow::Result<Outbox> {
    let servers = stack::shared().await?;
    let (database, vhost) =
        tokio::try_join!(servers.database("encoded"), servers.vhost("encoded"))?;
    let server = connect(&servers.postgres.url("postgres")).await?;
    let name = &database.name;
    server.batch_execute(&format!("DROP DATABASE \"{name}\"")).await?;
    let create =
        format!("CREATE DATABASE \"{name}\" ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
    server.batch_execute(&create).await?;
    let outbox = Outbox::on(database, vhost).await?;
    outbox.queue("all", "#").await?;
    Ok(outbox)
}

/// Writes a row with the letter in `column` between two others.
async fn write(outbox: &Outbox, column: &str, value: &str) -> anyhow::Result<i64> {
    outbox.add(&format!("before {column}"), "order.created").await?;
    let mut row = vec![
        ("aggregate_type", "'order'".to_owned()),
        ("aggregate_id", format!("'concerned {column}'")),
        ("event_type", "'order.created'".to_owned()),
        ("payload", "'{}'".to_owned()),
    ];
    row.retain(|(name, _)| *name != column);
    row.push((column, value.to_owned()));
    let (names, values): (Vec<&str>, Vec<String>) = row.into_iter().unzip();
    let (names, values) = (names.join(", "), values.join(", "));
    let insert = format!("INSERT INTO outbox ({names}) VALUES ({values}) RETURNING id");
    let id = outbox.sql.query_one(&insert, &[]).await?.get(0);
    outbox.add(&format!("after {column}"), "order.created").await?;
    Ok(id)
}

#[tokio::test]
async fn a_letter_of_a_known_encoding_is_the_same_letter_in_the_message() -> anyhow::Result<()> {
    for encoding in ["LATIN1", "WIN1252", "LATIN9"] {
        let outbox = outbox_in(encoding).await?;
        for (column, value) in COLUMNS {
            write(&outbox, column, value).await?;
        }
        let mut relay = outbox.relay(&[])?;
        relay.until_idle().await?;
        assert_eq!(outbox.pending().await?, 0, "{encoding}");
        let messages = outbox.take_all("all").await?;
        assert_eq!(messages.len(), 3 * COLUMNS.len());
        let keys: Vec<&str> =
            messages.iter().map(|message| message.delivery.routing_key.as_str()).collect();
        ensure!(keys.contains(&"order.\u{e9}"), "{encoding}: {keys:?}");
        let ids = messages.iter().map(aggregate_id).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(ids.contains(&"concerned\u{e9}".to_owned()), "{encoding}: {ids:?}");
        let bodies: Vec<_> = messages
            .iter()
            .map(|message| String::from_utf8_lossy(&message.delivery.data))
            .collect();
        ensure!(bodies.iter().any(|body| body.contains("\"\u{e9}\"")), "{encoding}: {bodies:?}");
    }
    Ok(())
}

#[tokio::test]
async fn bytes_that_are_no_text_keep_one_row_back_and_nobody_else() -> anyhow::Result<()> {
    let outbox = outbox_in("SQL_ASCII").await?;
    let mut ids = Vec::new();
    for (column, value) in COLUMNS {
        ids.push((column, write(&outbox, column, value).await?));
    }
    let mut relay = outbox.relay(&[])?;
    let others = "SELECT count(*) FROM outbox
                  WHERE published_at IS NULL AND aggregate_id NOT LIKE 'concerned%'";
    let published = async || Ok(outbox.count(others, &[]).await? == 0);
    relay.work_until(eventually("the others are published", published)).await?;
    relay.until_idle().await?;
    ensure!(relay.health.is_ready(), "{:?}", relay.health.statuses());
    let stuck = "SELECT count(*) FROM outbox
                 WHERE id = $1 AND published_at IS NULL AND next_attempt_at = 'infinity'
                   AND last_error LIKE '%invalid byte sequence for encoding \"UTF8\": 0xe9%'";
    for (column, id) in ids {
        // What is noted about an earlier failure is replaced, not read.
        let expected = i64::from(column != "error_kind");
        assert_eq!(outbox.count(stuck, &[&id]).await?, expected, "{column}");
    }
    assert_eq!(outbox.pending().await?, 6);
    assert_eq!(outbox.take_all("all").await?.len(), 15);
    Ok(())
}
