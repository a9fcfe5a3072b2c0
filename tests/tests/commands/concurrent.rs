//! Concurrent operators and relays: each change is made once and reported correctly, and nothing is
//! lost.

#![expect(clippy::print_stdout, reason = "the seed belongs to the test's output")]

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use pipeline_tests::command::Ended;
use pipeline_tests::outbox::{Outbox, connect, event_id};
use pipeline_tests::proxy::{Faults, Proxy};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use uuid::Uuid;

/// The number of rounds of concurrent commands.
const ROUNDS: usize = 10;

/// Events added per round.
const EVENTS: usize = 24;

/// What the commands reported.
#[derive(Debug, Default)]
struct Told {
    discarded: Vec<Uuid>,
    in_flight: HashSet<Uuid>,
    retried: i64,
    replays: i64,
}

impl Told {
    fn add(&mut self, arguments: &[String], ended: &Ended) -> anyhow::Result<()> {
        ensure!(matches!(ended.code, Some(0 | 1 | 3)), "{arguments:?}: {ended:?}");
        let document = ended.json().with_context(|| format!("{arguments:?}"))?;
        let ids = |name: &str| -> anyhow::Result<Vec<Uuid>> {
            Ok(serde_json::from_value(
                document.get(name).cloned().unwrap_or_else(|| Value::Array(Vec::new())),
            )?)
        };
        let (discarded, in_flight) = (ids("discarded")?, ids("in_flight")?);
        let silent = document.get("not_confirmed_by").and_then(Value::as_array);
        ensure!(silent.is_none_or(Vec::is_empty), "every relay confirms: {document}");
        // One that was not changed is told first.
        let is_expected = match ended.code {
            Some(0) => in_flight.is_empty(),
            Some(3) => !in_flight.is_empty(),
            _ => true,
        };
        ensure!(is_expected, "{arguments:?}: {ended:?}");
        self.discarded.extend(discarded);
        self.in_flight.extend(in_flight);
        self.retried += document["retried"].as_i64().unwrap_or(0);
        let is_replay = document.get("replayed").is_some();
        self.replays += i64::from(is_replay && document["matched"].as_i64() > Some(0));
        Ok(())
    }
}

/// Adds events that are due, waiting or stuck; some share an aggregate.
async fn add(outbox: &Outbox, rng: &mut StdRng) -> anyhow::Result<Vec<Uuid>> {
    let mut ids = Vec::new();
    for _ in 0..EVENTS {
        let next = match rng.random_range(0..6) {
            0 => Some("infinity"),
            1 => Some("2100-01-01"),
            _ => None,
        };
        let aggregate = rng.random_range(0..100).to_string();
        let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, next_attempt_at, attempts)
                      VALUES ('order', $1, 'order.created', '{}', $2::text::timestamptz, CASE WHEN $2 IS NULL THEN 0 ELSE 1 END)
                      RETURNING event_id";
        ids.push(outbox.sql.query_one(insert, &[&aggregate, &next]).await?.get(0));
    }
    Ok(ids)
}

/// A command of an operator.
fn typed(rng: &mut StdRng, all: &[Uuid], latest: &[Uuid]) -> Vec<String> {
    let (words, from): (&[&str], &[Uuid]) = match rng.random_range(0..8) {
        0 => (&["retry"], latest),
        1 => (&["retry", "--stuck", "--yes"], &[]),
        2 => (&["replay"], all),
        3 => (&["prune", "--older-than", "500ms"], &[]),
        4 => (&["discard", "--reason", "x"], all),
        _ => (&["discard", "--reason", "x"], latest),
    };
    let count = rng.random_range(1..=8);
    let ids = from.sample(rng, count).map(Uuid::to_string);
    words.iter().map(|word| (*word).to_owned()).chain(["--json".to_owned()]).chain(ids).collect()
}

/// Fails if an audit row appears with a lower id than an existing one: a relay that has read up to
/// that one would miss it. Otherwise never returns.
async fn ids_are_committed_in_order(url: &str) -> anyhow::Result<Infallible> {
    let sql = connect(url).await?;
    let mut known: HashSet<i64> = HashSet::new();
    loop {
        let rows = sql.query("SELECT id FROM outbox_audit", &[]).await?;
        let highest = known.iter().copied().max().unwrap_or(0);
        for row in rows {
            let id = row.get(0);
            ensure!(!known.insert(id) || id > highest, "audit row {id} came after {highest}");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn operate(
    outbox: &Outbox,
    broker: &Proxy,
    rng: &mut StdRng,
) -> anyhow::Result<(Vec<Uuid>, Told)> {
    let (mut all, mut told) = (Vec::new(), Told::default());
    for _ in 0..ROUNDS {
        // Some of the events are in flight during the commands.
        broker.to_client(if rng.random_bool(0.7) { Faults::HELD } else { Faults::default() });
        let released = Duration::from_millis(rng.random_range(0..800));
        let latest = add(outbox, rng).await?;
        all.extend(&latest);
        let operators = rng.random_range(2..=4);
        let typed: Vec<Vec<String>> = (0..operators).map(|_| typed(rng, &all, &latest)).collect();
        let ended = try_join_all(typed.iter().map(async |arguments| {
            let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
            outbox.command(&words).await
        }));
        let release = async {
            tokio::time::sleep(released).await;
            broker.to_client(Faults::default());
        };
        let (ended, ()) = tokio::join!(ended, release);
        for (arguments, ended) in typed.iter().zip(ended?) {
            told.add(arguments, &ended)?;
        }
    }
    Ok((all, told))
}

async fn as_told(outbox: &Outbox, all: &[Uuid], told: &Told) -> anyhow::Result<()> {
    let audit = outbox.audit().await?;
    let mut rows: HashMap<(&str, Option<Uuid>), i64> = HashMap::new();
    for row in &audit {
        let event_id = row["event_id"].as_str().map(str::parse).transpose()?;
        *rows.entry((row["action"].as_str().context("an action")?, event_id)).or_default() += 1;
    }
    let of = |action: &'static str| rows.iter().filter(move |((one, _), _)| *one == action);
    let discarded: HashSet<Uuid> = of("discard").filter_map(|((_, id), _)| *id).collect();
    ensure!(of("discard").all(|(_, count)| *count == 1), "discarded twice: {rows:?}");
    ensure!(told.discarded.len() == discarded.len(), "told twice: {told:?}");
    ensure!(told.discarded.iter().all(|id| discarded.contains(id)), "told and not done: {told:?}");
    ensure!(of("retry").map(|(_, count)| count).sum::<i64>() == told.retried, "{told:?}");
    ensure!(of("replay").map(|(_, count)| count).sum::<i64>() == told.replays, "{told:?}");

    let there = outbox.event_ids().await?;
    let messages = outbox.take_all("all").await?;
    let arrived: HashSet<Uuid> = messages.iter().map(event_id).collect::<Result<_, _>>()?;
    println!(
        "{} events, {} discarded, {} of them in flight, {} retried, {} replays",
        all.len(),
        discarded.len(),
        told.in_flight.len(),
        told.retried,
        told.replays
    );
    for id in all {
        if discarded.contains(id) {
            ensure!(!there.contains(id), "{id} is discarded and there");
            let is_told = told.in_flight.contains(id);
            ensure!(!arrived.contains(id) || is_told, "{id} was discarded, and arrived: {told:?}");
        } else {
            ensure!(arrived.contains(id), "{id} is lost: {told:?}");
        }
    }
    Ok(())
}

async fn operators(seed: u64) -> anyhow::Result<()> {
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let (broker, url) = Proxy::before(&outbox.vhost.amqp_url)?;
    outbox.vhost.amqp_url = url;
    let mut relays = Vec::new();
    for _ in 0..rng.random_range(1..=2) {
        relays.push(outbox.joined_by(&[]).await?);
    }
    let (all, mut told) = tokio::select! {
        done = operate(&outbox, &broker, &mut rng) => done?,
        watched = ids_are_committed_in_order(&outbox.database.url) => match watched? {},
    };
    // What is waiting or stuck in the end was not lost either.
    let rest = ["retry", "--json", "--yes", "--type", "order.created"];
    told.add(&[], &outbox.command(&rest).await?)?;
    outbox.all_published().await?;
    as_told(&outbox, &all, &told).await
}

#[tokio::test]
async fn what_several_operators_do_at_once_is_done_once_and_told() -> anyhow::Result<()> {
    for seed in [1, rand::rng().random()] {
        operators(seed).await.with_context(|| format!("seed {seed}"))?;
    }
    Ok(())
}
