//! One batch: written by one statement, or given back to be written one by one.

use std::collections::{HashMap, HashSet};

use service_kit::postgres::{Database, reason};
use time::OffsetDateTime;
use tokio_postgres::Error;
use uuid::Uuid;

use super::asked::Asked;
use super::metrics;
use super::queue::{Answer, Waiting, Written};
use crate::domain::{Order, OrderId, Status};
use crate::idempotency::{IdempotencyKey, Once};
use crate::metrics::created;
use crate::queries::{self, NewRow};

/// Writes a batch and tells each order of it what became of it.
pub(super) async fn write(database: &Database, batch: Vec<Waiting>) {
    let (leaders, followers) = apart(batch);
    let rows: Vec<NewRow<'_>> = leaders.iter().map(|leader| row(&leader.asked)).collect();
    let written = database
        .write(async |connection| match queries::create_orders(connection, &rows).await {
            Err(error) if a_row_may_be_to_blame(&error) => {
                let reason = reason(&error);
                tracing::debug!(reason, orders = rows.len(), "orders are written one by one");
                Ok(None)
            }
            result => result.map(Some),
        })
        .await;
    let ids: Vec<OrderId> = rows.iter().map(|row| row.id).collect();
    match written {
        Ok(Some(made)) => {
            metrics::batch(made.len());
            created(made.len());
            tell(ids.into_iter().zip(leaders), followers, &made);
        }
        Ok(None) => for_each(leaders, followers, |asked, answer| {
            answer.tell(Ok(Written::Alone(asked)));
        }),
        Err(error) => {
            for_each(leaders, followers, |_, answer| answer.tell(Err(error.clone().into())));
        }
    }
}

/// Those that are written, and those whose key is that of another one in the batch: these wait for what becomes of it.
fn apart(batch: Vec<Waiting>) -> (Vec<Waiting>, Vec<Waiting>) {
    let mut keys: HashSet<IdempotencyKey> = HashSet::new();
    batch
        .into_iter()
        .partition(|waiting| waiting.asked.key.as_ref().is_none_or(|key| keys.insert(key.clone())))
}

/// Its id is made now, and not when it came: so ids are in the order of commits as far as one process can tell.
fn row(asked: &Asked) -> NewRow<'_> {
    NewRow {
        id: OrderId(Uuid::now_v7()),
        new: &asked.new,
        headers: &asked.headers,
        key: asked.key.as_ref(),
    }
}

/// Whether the server refused what it was given, and so has written nothing; not when it is the server that is unwell, which
/// would refuse each single order as well.
fn a_row_may_be_to_blame(error: &Error) -> bool {
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    let class = error.code().and_then(|code| code.code().get(..2));
    class.is_some_and(|class| !matches!(class, "08" | "25" | "53" | "57" | "58"))
}

/// Tells what was made; whoever has a key that made an order before must look it up.
fn tell(
    leaders: impl Iterator<Item = (OrderId, Waiting)>,
    followers: Vec<Waiting>,
    made: &HashMap<Uuid, OffsetDateTime>,
) {
    let mut by_key: HashMap<IdempotencyKey, Order> = HashMap::new();
    for (id, leader) in leaders {
        let (asked, answer) = leader.into_parts();
        let Some(&at) = made.get(&id.0) else {
            answer.tell(Ok(Written::Alone(asked)));
            continue;
        };
        let order = Order {
            id,
            ordered: asked.new,
            status: Status::Created,
            created_at: at,
            updated_at: at,
        };
        if let Some(key) = asked.key.filter(|_| !followers.is_empty()) {
            by_key.insert(key, order.clone());
        }
        answer.tell(Ok(Written::Done(Once::Created(order))));
    }
    for follower in followers {
        let (asked, answer) = follower.into_parts();
        let order = asked.key.as_ref().and_then(|key| by_key.get(key));
        answer.tell(Ok(match order {
            Some(order) => Written::Done(Once::again(order.clone(), &asked.new)),
            None => Written::Alone(asked),
        }));
    }
}

fn for_each(leaders: Vec<Waiting>, followers: Vec<Waiting>, tell: impl Fn(Asked, Answer)) {
    for waiting in leaders.into_iter().chain(followers) {
        let (asked, answer) = waiting.into_parts();
        tell(asked, answer);
    }
}
