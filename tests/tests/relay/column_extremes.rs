//! Each column of the outbox at each extreme, by a plain `INSERT`: the database refuses it, or it
//! is published, or stuck with a reason, or left for later. Events of other aggregates, written
//! before and after each, are always published.

use std::collections::HashSet;

use anyhow::{Context as _, ensure};
use pipeline_tests::column_extremes::{CASES, Case, Fate};
use pipeline_tests::outbox::{Outbox, event_id, eventually};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

/// The columns that a service writes, with values that are as good as any.
const USUAL: [(&str, &str); 4] = [
    ("aggregate_type", "'order'"),
    ("aggregate_id", "'the case'"),
    ("event_type", "'order.created'"),
    ("payload", "'{}'"),
];

/// The statement that writes the row of a case: an aggregate of its own, unless the case is about
/// that.
fn insert(number: usize, case: &Case) -> String {
    let own = format!("'case {number}'");
    let mut columns: Vec<(&str, &str)> = vec![(case.column, case.value)];
    columns.extend(case.others);
    for (column, value) in USUAL {
        if columns.iter().all(|(given, _)| *given != column) {
            // The other one of the aggregate's two columns differs from case to case.
            let is_own = column == "aggregate_id"
                || column == "aggregate_type" && case.column == "aggregate_id";
            columns.push((column, if is_own { own.as_str() } else { value }));
        }
    }
    let (names, values): (Vec<&str>, Vec<&str>) = columns.into_iter().unzip();
    format!(
        "INSERT INTO outbox ({}) OVERRIDING SYSTEM VALUE VALUES ({}) RETURNING event_id",
        names.join(", "),
        values.join(", ")
    )
}

/// Writes the rows of all cases that the database takes, each between two of other aggregates.
/// Returns the ids of the neighbours' events and of the cases'.
async fn write(
    outbox: &Outbox,
    cases: &'static [Case],
) -> anyhow::Result<(HashSet<Uuid>, Vec<(Uuid, &'static Case)>)> {
    let (mut neighbours, mut written) = (HashSet::new(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let Case { column, value, .. } = case;
        let name = format!("{column} = {value}");
        neighbours.insert(neighbour(outbox, &format!("before {number}")).await?);
        let row = outbox.sql.query_one(&insert(number, case), &[]).await;
        match (case.fate, row) {
            (Fate::Refused(state), Err(error)) => {
                let code = error.code().map(SqlState::code);
                ensure!(code == Some(state), "{name} is refused by {error:?}, not {state}");
            }
            (Fate::Refused(state), Ok(_)) => anyhow::bail!("{name} is not refused by {state}"),
            (_, row) => written.push((row.with_context(|| name)?.get(0), case)),
        }
        neighbours.insert(neighbour(outbox, &format!("after {number}")).await?);
    }
    Ok((neighbours, written))
}

async fn neighbour(outbox: &Outbox, aggregate: &str) -> anyhow::Result<Uuid> {
    let id = outbox.add(aggregate, "order.created").await?;
    let query = "SELECT event_id FROM outbox WHERE id = $1";
    Ok(outbox.sql.query_one(query, &[&id]).await?.get(0))
}

/// All columns that say what became of a row.
const STATE: &str = "SELECT published_at IS NOT NULL, coalesce(next_attempt_at = 'infinity', false) AND attempts > 0,
                            coalesce(last_error, ''), ROW(published_at, attempts, next_attempt_at, last_error)::text
                     FROM outbox WHERE event_id = $1";

/// The rows that have not had their fate yet.
async fn wrong(
    outbox: &Outbox,
    written: &[(Uuid, &'static Case)],
    before: &[String],
) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for ((event, case), before) in written.iter().zip(before) {
        let row = outbox.sql.query_one(STATE, &[event]).await?;
        let (is_published, is_stuck): (bool, bool) = (row.get(0), row.get(1));
        let (reason, state): (String, String) = (row.get(2), row.get(3));
        let is_right = match case.fate {
            Fate::Published => is_published,
            Fate::Stuck(why) => !is_published && is_stuck && reason.contains(why),
            Fate::Left => state == *before,
            Fate::Refused(_) => false,
        };
        if !is_right {
            let state: String = state.chars().take(300).collect();
            wrong.push(format!("{} = {}: {state}, not {:?}", case.column, case.value, case.fate));
        }
    }
    Ok(wrong)
}

#[tokio::test]
async fn each_extreme_of_each_column_has_its_fate_and_neighbours_are_published()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let (mut expected, written) = write(&outbox, CASES).await?;
    let mut before = Vec::new();
    for (event, _) in &written {
        before.push(outbox.sql.query_one(STATE, &[event]).await?.get::<_, String>(3));
    }
    let mut relay = outbox.relay(&[])?;
    let done = eventually("each row has its fate", async || {
        let wrong = wrong(&outbox, &written, &before).await?;
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(true)
    });
    relay.work_until(done).await?;
    relay.until_idle().await?;
    let published = written.iter().filter(|(_, case)| case.fate == Fate::Published);
    expected.extend(published.map(|(event, _)| *event));

    ensure!(relay.health.is_ready(), "{:?}", relay.health.statuses());
    let messages = outbox.take_all("all").await?;
    let sent = messages.iter().map(event_id).collect::<anyhow::Result<Vec<_>>>()?;
    let unique: HashSet<Uuid> = sent.iter().copied().collect();
    ensure!(sent.len() == unique.len(), "each is sent once");
    let missing: Vec<_> = expected.difference(&unique).collect();
    let unwanted: Vec<_> = unique.difference(&expected).collect();
    ensure!(missing.is_empty() && unwanted.is_empty(), "missing {missing:?}, sent {unwanted:?}");
    Ok(())
}
